import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { EvalModel, EvalResults } from '../../types.gen.ts';
import { escapeHtml, jsonForScript } from './escape.ts';
import { failedOf, intervalText, msText, pText, scoreText, signedText, usdText } from './figures.ts';
import { summaryOf } from './markdown.ts';
import { plotSvg } from './plot.ts';

const asset = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');
const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/**
 * Results as one page that needs nothing else, also offline: figures and plot are there without scripts, the tasks by one.
 * What models wrote is data, never markup: its policy runs this script and this style alone, and loads nothing.
 */
export const resultsHtml = (results: EvalResults): string => {
  const [style, script] = [asset('page.css'), asset('page.js')];
  const policy = `default-src 'none'; base-uri 'none'; form-action 'none'; style-src ${hashOf(style)}; script-src ${hashOf(script)}`;
  const data = { models: results.models.map(({ model }) => model), items: results.items };
  const plot = plotSvg(results.models);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(results.title)} – evaluation</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeHtml(results.title)}</h1>
<p class="soft">${escapeHtml(summaryOf(results))}</p>
${results.notes.map((note) => `<p class="note">${escapeHtml(note)}</p>`).join('\n')}
<h2>Quality against cost</h2>
${plot === '' ? '<p class="soft">No model can be compared yet.</p>' : `<div class="scroll">${plot}</div>`}
<p class="soft">Bars are 95 % intervals, of ${results.compared_tasks} tasks that all compared models have in common. Blue, on the dashed line: no other model is better at no more cost, or cheaper and no worse.</p>
<h2>Models</h2>
<div class="scroll">${modelTable(results)}</div>
${failureTable(results.models)}
${comparisonTable(results)}
${judgeTable(results)}
<h2>Tasks</h2>
<div class="tools">
<select id="filter" aria-label="Which tasks"><option value="all">All tasks</option><option value="disagree">Models disagree</option><option value="failed">Failed or without a score</option><option value="wrong">A score below 0.5</option></select>
<input id="search" type="search" placeholder="Search id and prompt" aria-label="Search">
</div>
<p class="soft" id="count" aria-live="polite"></p>
<div id="tasks"></div>
<p><button class="more" id="more" type="button" hidden>Show more</button></p>
<noscript><p class="note">The tasks need scripts; results.json has them too.</p></noscript>
<script type="application/json" id="data">${jsonForScript(data)}</script>
<script>${script}</script>
</body>
</html>
`;
};

/** A cell: what it shows, and what it is sorted by. */
type Cell = readonly [text: string, value?: number | string | null];

const tableOf = (
  id: string | undefined,
  heads: readonly string[],
  rows: readonly { cells: readonly Cell[]; className?: string }[],
): string => {
  const cellOf = ([text, value = text]: Cell): string =>
    `<td data-value="${escapeHtml(value === null ? '' : String(value))}">${escapeHtml(text)}</td>`;
  return `<table${id === undefined ? '' : ` id="${id}" class="${id}"`}>
<thead><tr>${heads.map((head) => `<th scope="col">${escapeHtml(head)}</th>`).join('')}</tr></thead>
<tbody>
${rows.map(({ cells, className }) => `<tr${className ? ` class="${className}"` : ''}>${cells.map(cellOf).join('')}</tr>`).join('\n')}
</tbody></table>`;
};

const modelTable = ({ graders, models }: EvalResults): string =>
  tableOf(
    'models',
    [
      'Model',
      'Front',
      'Quality',
      '95 %',
      ...graders.map(({ name }) => name),
      'USD / 1,000',
      'Total USD',
      'p50 ms',
      'p95 ms',
      'Tokens in',
      'Tokens out',
      'Graded',
      'Failed',
      'Lost',
    ],
    models.map((model) => ({
      className: model.is_on_front ? 'front' : '',
      cells: [
        [model.model],
        [model.is_on_front ? '●' : '', model.is_on_front ? 1 : 0],
        [scoreText(model.quality?.estimate ?? null), model.quality?.estimate ?? null],
        [intervalText(model.quality), model.quality?.low ?? null],
        ...graders.map(({ name }): Cell => [scoreText(model.graders[name] ?? null), model.graders[name] ?? null]),
        [usdText(model.usd_per_1000_tasks), model.usd_per_1000_tasks],
        [usdText(model.total_usd), model.total_usd],
        [msText(model.p50_ms), model.p50_ms],
        [msText(model.p95_ms), model.p95_ms],
        [String(model.input_tokens)],
        [String(model.output_tokens)],
        [`${model.graded} of ${model.tasks}`, model.graded],
        [String(failedOf(model))],
        [String(model.lost)],
      ],
    })),
  );

const failureTable = (models: readonly EvalModel[]): string => {
  const rows = models.flatMap(({ model, failures }) =>
    Object.entries(failures).map(([error, count]) => ({ cells: [[model], [String(count)], [error]] as Cell[] })),
  );
  return rows.length === 0
    ? ''
    : `<h2>Failures</h2>\n<div class="scroll">${tableOf('failures', ['Model', 'Calls', 'Error'], rows)}</div>`;
};

const comparisonTable = ({ comparisons }: EvalResults): string => {
  const [first] = comparisons;
  if (!first) return '';
  const rows = comparisons.map((one) => ({
    cells: [
      [one.model],
      [String(one.tasks)],
      [signedText(one.difference)],
      [`${signedText(one.low)} to ${signedText(one.high)}`],
      [pText(one.p_value)],
      [String(one.wins)],
      [String(one.ties)],
      [String(one.losses)],
    ] as Cell[],
  }));
  const heads = ['Model', 'Tasks', 'Difference', '95 %', 'p', 'Wins', 'Ties', 'Losses'];
  return `<h2>Against ${escapeHtml(first.baseline)}, task by task</h2>\n<div class="scroll">${tableOf(undefined, heads, rows)}</div>`;
};

const judgeTable = ({ judges }: EvalResults): string => {
  if (judges.length === 0) return '';
  const rows = judges.map(({ grader, model, calls, unmarked, total_usd, order_decided, agreement }) => ({
    cells: [
      [grader],
      [model],
      [String(calls)],
      [String(unmarked)],
      [usdText(total_usd)],
      [order_decided === null ? '–' : `${Math.round(order_decided * 100)} %`],
      [agreement ? String(agreement.marks) : 'no labels'],
      [scoreText(agreement?.exact ?? null)],
      [scoreText(agreement?.kappa ?? null)],
      [scoreText(agreement?.spearman ?? null)],
    ] as Cell[],
  }));
  const heads = [
    'Grader',
    'Judge',
    'Calls',
    'Without a mark',
    'USD',
    'Order decided',
    'Marks of people',
    'Exact',
    'Kappa',
    'Spearman',
  ];
  const prompts = judges.map(
    ({ grader, prompt }) =>
      `<details><summary>Prompt of ${escapeHtml(grader)}</summary><pre>${escapeHtml(prompt)}</pre></details>`,
  );
  return `<h2>Judges</h2>\n<div class="scroll">${tableOf(undefined, heads, rows)}</div>\n${prompts.join('\n')}`;
};
