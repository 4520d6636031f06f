import type { PolicyData } from '../../gateway/types.gen.ts';

/** Policy data in which measurements, experiments and mirrors all have a say: everything that is empty by default. */
export const measuredData = (data: PolicyData): PolicyData => ({
  ...data,
  quality: {
    closed: {
      'gpt-6-sol': measurement(0.83, 4),
      'gpt-5.4-nano': measurement(0.81, 0.3),
      'claude-haiku-5-5': measurement(0.8, 0.2),
      'mistral-small-2603': { ...measurement(0.9, 0.1), valid_until: '2026-11-30' },
      'campus-8b': measurement(0.72, 0.05),
    },
    open: {
      'gpt-6-astra': measurement(0.9, 20),
      'claude-sonnet-5-5': measurement(0.88, 6),
      'gpt-6-sol': { ...measurement(0.9, 5), samples: 40 },
      'mistral-large-2512': measurement(0.8701, 2),
      'claude-haiku-5-5': measurement(0.7, 0.4),
    },
  },
  experiments: {
    'a-tutor': {
      title: 'A cheaper tutor',
      unit: 'user',
      salt: 3,
      start: '2026-11-01T00:00:00.000Z',
      end: '2026-12-01T00:00:00.000Z',
      tasks: { open: true, hard: true },
      arms: {
        control: { share: 33.33 },
        short: { share: 33.33, model: 'claude-haiku-5-5', parameters: { max_output_tokens: 300 } },
      },
      metric: { name: 'score', better: 'higher' },
    },
    'b-frontier': {
      title: 'Whether the frontier is worth it',
      organizations: { 'demo-university': true },
      unit: 'request',
      salt: 8,
      start: '2026-11-01T00:00:00.000Z',
      end: '2027-01-01T00:00:00.000Z',
      arms: { control: { share: 50 }, frontier: { share: 50, model: 'gpt-6-astra' } },
      metric: { name: 'cost', better: 'lower' },
    },
  },
  mirrors: {
    next: {
      title: 'The next model',
      model: 'claude-opus-5-5',
      percent: 50,
      salt: 5,
      usd_per_day: 1.5,
      until: '2026-12-20T00:00:00.000Z',
    },
    home: {
      title: 'The model of the university',
      model: 'campus-8b',
      percent: 100,
      salt: 6,
      usd_per_day: 1,
      until: '2027-12-20T00:00:00.000Z',
    },
  },
});

const measurement = (quality: number, usd: number) => ({
  quality,
  low: Math.max(0, quality - 0.04),
  high: Math.min(1, quality + 0.04),
  samples: 400,
  usd_per_1000_tasks: usd,
  measured: '2026-11-01',
  valid_until: '2027-01-31',
  suite: 'lms',
  suite_sha256: '0'.repeat(64),
});
