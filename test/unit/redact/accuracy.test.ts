import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { createDetector } from '../../../gateway/redact/detect.ts';
import type { Entity, Finding } from '../../../gateway/redact/redactor.ts';

const DATA = new URL('../../fixtures/pii/presidio-synth-v2.jsonl', import.meta.url);
const DOC = new URL('../../../docs/redaction.md', import.meta.url);
const BEGIN = '<!-- accuracy: written by test/unit/redact/accuracy.test.ts, with UPDATE_DOCS=1 -->';
const END = '<!-- /accuracy -->';

interface Labelled {
  readonly text: string;
  readonly spans: readonly (readonly [Entity, number, number])[];
}

/** Precision and recall of Presidio's own pattern recognisers on this data. */
const PRESIDIO: readonly (readonly [Entity, number, number])[] = [
  ['email', 1, 1],
  ['phone', 0.73, 0.59],
  ['card', 1, 0.77],
  ['iban', 1, 1],
  ['us_ssn', 1, 1],
  ['ip', 1, 1],
];

const texts = readFileSync(DATA, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as Labelled);

/** Counts of one entity. A finding is right when it has exactly the bounds of a label. */
interface Score {
  labels: number;
  found: number;
  right: number;
  readonly missed: string[];
  readonly wrong: string[];
}

const score = (entity: Entity, findings: readonly (readonly Finding[])[]): Score => {
  const total: Score = { labels: 0, found: 0, right: 0, missed: [], wrong: [] };
  for (const [index, { text, spans }] of texts.entries()) {
    const labels = spans
      .filter(([kind]) => kind === entity)
      .map(([, start, end]) => `${text.slice(start, end)}@${start}`);
    const values = (findings[index] ?? [])
      .filter((finding) => finding.entity === entity)
      .map(({ start, end }) => `${text.slice(start, end)}@${start}`);
    total.labels += labels.length;
    total.found += values.length;
    total.right += values.filter((one) => labels.includes(one)).length;
    total.missed.push(...labels.filter((one) => !values.includes(one)));
    total.wrong.push(...values.filter((one) => !labels.includes(one)));
  }
  return total;
};

const ratio = (part: number, whole: number): number => (whole === 0 ? 1 : part / whole);

describe('on the labelled texts', () => {
  const detector = createDetector();
  const findings = texts.map(({ text }) => detector.detect(text));
  const scores = new Map(PRESIDIO.map(([entity]) => [entity, score(entity, findings)]));

  test.each(PRESIDIO)(
    '%s is found at least as well as by the pattern recognisers of Presidio',
    (entity, precision, recall) => {
      const { labels, found, right } = scores.get(entity)!;
      expect(labels).toBeGreaterThan(10);
      expect(ratio(right, found)).toBeGreaterThanOrEqual(precision);
      expect(ratio(right, labels)).toBeGreaterThanOrEqual(recall);
    },
  );

  test('no API key is seen where there is none', () => {
    expect(score('api_key', findings).found).toBe(0);
  });

  test('the figures in docs/redaction.md are those measured', () => {
    const rows = PRESIDIO.map(([entity, precision, recall]) => {
      const { labels, found, right } = scores.get(entity)!;
      const ours = `${ratio(right, found).toFixed(2)} / ${ratio(right, labels).toFixed(2)}`;
      return `| ${entity} | ${labels} | ${ours} | ${precision.toFixed(2)} / ${recall.toFixed(2)} |`;
    });
    const list = (title: string, of: (one: Score) => string[]): string[] =>
      [...scores].flatMap(([entity, one]) =>
        of(one).map((text) => `- ${title}, ${entity}: \`${text.replace(/@\d+$/, '')}\``),
      );
    const block = [
      BEGIN,
      '| entity | labels | precision / recall | Presidio patterns |',
      '|---|---|---|---|',
      ...rows,
      '',
      ...list('missed', ({ missed }) => missed),
      ...list('not labelled', ({ wrong }) => wrong),
      END,
    ].join('\n');
    const doc = readFileSync(DOC, 'utf8');
    const [start, end] = [doc.indexOf(BEGIN), doc.indexOf(END) + END.length];
    expect(start).toBeGreaterThan(0);
    const current = doc.slice(0, start) + block + doc.slice(end);
    if (process.env.UPDATE_DOCS === '1') writeFileSync(DOC, current);
    else expect(doc).toBe(current);
  });
});
