import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { METRICS, type MetricName, type MetricSpec } from '../../../gateway/telemetry/metric-list.ts';
import { prometheusName } from '../../../gateway/telemetry/prometheus.ts';

const section = readFileSync('docs/operations.md', 'utf8').split('\n## Metrics and traces\n')[1]!.split('\n## ')[0]!;
const partOf = (title: string): string => section.split(`\n### ${title}\n`)[1]!.split('\n### ')[0]!;
const rowsOf = (part: string): string[][] =>
  part
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(1)
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
const specs = Object.entries(METRICS) as [MetricName, MetricSpec][];

describe('docs/operations.md, “Metrics and traces”', () => {
  test('has a row for each metric as the code has it, and no other', () => {
    const known = specs.map(([name, { kind, labels, description }]) => [
      `\`${name}\``,
      `\`${prometheusName(name)}\``,
      kind === 'watched_counter' ? 'counter' : kind,
      labels.map((label) => `\`${label}\``).join(', ') || '–',
      description,
    ]);
    expect(rowsOf(partOf('All metrics'))).toEqual(known);
  });

  test('alerts on metrics and labels that there are', () => {
    const alerts = rowsOf(partOf('What to wake up for'));
    expect(alerts.length).toBeGreaterThan(10);
    const byName = new Map(specs.map(([name, spec]) => [prometheusName(name), spec]));
    const used = new Set<string>();
    for (const [when, expression = ''] of alerts) {
      for (const [, name = '', , labels = ''] of expression.matchAll(
        /\b((?:aegis|nodejs|gen_ai|http)_\w+)(\{([^}]*)\})?/g,
      )) {
        const spec = byName.get(name.replace(/_(bucket|sum|count)$/, '')) ?? byName.get(name);
        expect([when, name, spec !== undefined]).toEqual([when, name, true]);
        used.add(name);
        for (const [, label = ''] of labels.matchAll(/(\w+)=~?"/g)) {
          expect([when, spec?.labels.map((known) => known.replaceAll('.', '_')).includes(label)]).toEqual([when, true]);
        }
      }
    }
    for (const { labels } of specs.map(([, spec]) => spec)) expect(labels).toEqual([...new Set(labels)]);
    expect(used.size).toBeGreaterThan(10);
  });
});

test('each metric has a name, a unit and buckets that OpenTelemetry takes', () => {
  for (const [name, { kind, unit, boundaries, description }] of specs) {
    expect(name).toMatch(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/);
    expect(['s', 'By', '1', '']).toContain(unit.replace(/^\{\w+\}$/, ''));
    expect(description).toMatch(/\.$/);
    expect(boundaries !== undefined).toBe(kind === 'histogram');
    expect(boundaries ?? []).toEqual([...(boundaries ?? [])].sort((a, b) => a - b));
  }
});

test('no two metrics have one name in Prometheus', () => {
  const names = specs.map(([name]) => prometheusName(name));
  expect(new Set(names).size).toBe(names.length);
});
