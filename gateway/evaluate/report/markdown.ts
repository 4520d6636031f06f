import type { EvalResults } from '../../types.gen.ts';
import { markdownCell } from './escape.ts';
import { failedOf, intervalText, msText, pText, scoreText, signedText, usdText } from './figures.ts';

/** Results as Markdown, for a pull request: tables without the tasks. */
export const resultsMarkdown = (results: EvalResults): string => {
  const { graders, models, comparisons, judges } = results;
  const lines = [`# ${markdownCell(results.title)}`, '', summaryOf(results), ''];
  for (const note of results.notes) lines.push(`> ${markdownCell(note)}`, '>');
  if (results.notes.length > 0) lines.splice(-1, 1, '');
  lines.push(
    ...tableOf(
      [
        'model',
        'front',
        'quality',
        '95 %',
        ...graders.map(({ name }) => name),
        'USD / 1,000',
        'p50 ms',
        'p95 ms',
        'tokens in',
        'tokens out',
        'graded',
        'failed',
      ],
      models.map((model) => [
        model.model,
        model.is_on_front ? '●' : '',
        scoreText(model.quality?.estimate ?? null),
        intervalText(model.quality),
        ...graders.map(({ name }) => scoreText(model.graders[name] ?? null)),
        usdText(model.usd_per_1000_tasks),
        msText(model.p50_ms),
        msText(model.p95_ms),
        String(model.input_tokens),
        String(model.output_tokens),
        `${model.graded} of ${model.tasks}`,
        String(failedOf(model)),
      ]),
    ),
    '',
    '● no other model is better at no more cost, or cheaper and no worse.',
  );
  const failures = models.flatMap(({ model, failures: all }) =>
    Object.entries(all).map(([error, count]) => [model, error, String(count)]),
  );
  if (failures.length > 0) lines.push('', '## Failures', '', ...tableOf(['model', 'error', 'calls'], failures));
  if (comparisons.length > 0) {
    lines.push(
      '',
      `## Against ${markdownCell(comparisons[0]?.baseline ?? '')}`,
      '',
      ...tableOf(
        ['model', 'tasks', 'difference', '95 %', 'p', 'wins', 'ties', 'losses'],
        comparisons.map((one) => [
          one.model,
          String(one.tasks),
          signedText(one.difference),
          `${signedText(one.low)} to ${signedText(one.high)}`,
          pText(one.p_value),
          String(one.wins),
          String(one.ties),
          String(one.losses),
        ]),
      ),
    );
  }
  if (judges.length > 0) {
    lines.push(
      '',
      '## Judges',
      '',
      ...tableOf(
        ['grader', 'judge', 'calls', 'without a mark', 'USD', 'order decided', 'people', 'exact', 'kappa', 'Spearman'],
        judges.map(({ grader, model, calls, unmarked, total_usd, order_decided, agreement }) => [
          grader,
          model,
          String(calls),
          String(unmarked),
          usdText(total_usd),
          order_decided === null ? '–' : `${Math.round(order_decided * 100)} %`,
          agreement ? String(agreement.marks) : 'no labels',
          scoreText(agreement?.exact ?? null),
          scoreText(agreement?.kappa ?? null),
          scoreText(agreement?.spearman ?? null),
        ]),
      ),
    );
  }
  return `${lines.join('\n')}\n`;
};

/** What was run, in a line. */
export const summaryOf = (results: EvalResults): string => {
  const { suite, task, tasks_asked, tasks, repeats, began, spent_usd, budget_usd, is_complete } = results;
  const asked = tasks_asked === tasks ? `${tasks} tasks` : `${tasks_asked} of ${tasks} tasks`;
  return `${suite}: kind ${task}, ${asked}${repeats > 1 ? ` × ${repeats}` : ''}, begun ${began.slice(0, 10)}, ${usdText(spent_usd)} of ${usdText(budget_usd)} USD, ${is_complete ? 'complete' : 'INCOMPLETE'}`;
};

const tableOf = (heads: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  `| ${heads.map(markdownCell).join(' | ')} |`,
  `|${heads.map(() => '---').join('|')}|`,
  ...rows.map((row) => `| ${row.map(markdownCell).join(' | ')} |`),
];
