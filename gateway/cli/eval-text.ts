import Table from 'cli-table3';
import { failedOf, intervalText, msText, pText, scoreText, signedText, usdText } from '../evaluate/report/figures.ts';
import { summaryOf } from '../evaluate/report/markdown.ts';
import type { EvalAnswer, EvalItem, EvalResults } from '../types.gen.ts';
import { PAGE_COLUMNS } from './page.ts';
import { wrap } from './wrap.ts';

const NAME_COLUMNS = 26;

/** Results for a terminal of 100 columns. */
export const resultsText = (results: EvalResults): string => {
  const lines = [safe(results.title), safe(summaryOf(results)), ''];
  for (const note of results.notes)
    lines.push(...wrap(safe(note), PAGE_COLUMNS - 2).map((line, at) => `${at === 0 ? '! ' : '  '}${line}`));
  if (results.notes.length > 0) lines.push('');
  lines.push(
    tableOf(
      ['model', '', 'quality', '95 %', 'USD/1,000', 'p50 ms', 'p95 ms', 'graded', 'failed'],
      results.models.map((model) => [
        name(model.model),
        model.is_on_front ? '●' : '',
        scoreText(model.quality?.estimate ?? null),
        intervalText(model.quality),
        usdText(model.usd_per_1000_tasks),
        msText(model.p50_ms),
        msText(model.p95_ms),
        `${model.graded}/${model.tasks}`,
        String(failedOf(model)),
      ]),
    ),
    '● no other model is better at no more cost, or cheaper and no worse',
  );
  if (results.graders.length > 1) {
    // As many columns as fit; all are in the page and in results.json.
    const shown = results.graders.slice(0, 5);
    lines.push(
      '',
      tableOf(
        ['mean of', ...shown.map(({ name: grader }) => name(grader, 12))],
        results.models.map(({ model, graders }) => [
          name(model),
          ...shown.map(({ name: grader }) => scoreText(graders[grader] ?? null)),
        ]),
      ),
    );
  }
  const [first] = results.comparisons;
  if (first) {
    lines.push(
      '',
      tableOf(
        [`against ${name(first.baseline, 18)}`, 'tasks', 'difference', '95 %', 'p', 'wins', 'ties', 'losses'],
        results.comparisons.map((one) => [
          name(one.model),
          String(one.tasks),
          signedText(one.difference),
          `${signedText(one.low)} ${signedText(one.high)}`,
          pText(one.p_value),
          String(one.wins),
          String(one.ties),
          String(one.losses),
        ]),
      ),
    );
  }
  for (const { grader, model, calls, failed, unmarked, total_usd, order_decided, agreement } of results.judges) {
    const parts = [`${calls} calls`, `${usdText(total_usd)} USD`, `${failed} failed`, `${unmarked} without a mark`];
    if (order_decided !== null) parts.push(`order decided ${Math.round(order_decided * 100)} %`);
    parts.push(
      agreement
        ? `with people (${agreement.marks}): exact ${scoreText(agreement.exact)}, kappa ${scoreText(agreement.kappa)}, Spearman ${scoreText(agreement.spearman)}`
        : 'not compared with people',
    );
    lines.push('', ...wrap(`${safe(grader)} by ${safe(model)}: ${parts.join('; ')}`, PAGE_COLUMNS));
  }
  const failures = results.models.flatMap(({ model, failures: all }) =>
    Object.entries(all).map(([error, count]) => `${safe(model)}: ${count} × ${safe(error)}`),
  );
  if (failures.length > 0)
    lines.push('', 'failures', ...failures.flatMap((line) => wrap(line, PAGE_COLUMNS - 2)).map((line) => `  ${line}`));
  return lines.join('\n');
};

/** One task with its answers, for a terminal. */
export const itemText = ({ id, prompt, answers }: EvalItem): string =>
  [`task ${safe(id)}`, ...block(prompt), ...answers.flatMap(answerText)].join('\n');

const answerText = (answer: EvalAnswer): string[] => {
  const { model, repeat, score, grades, usd, ms, decision_id: decision, state, text, error } = answer;
  return [
    '',
    `${safe(model)}${repeat > 0 ? ` (${repeat + 1})` : ''}  score ${scoreText(score)}  ${usdText(usd)} USD  ${msText(ms)} ms${decision === null ? '' : `  ${decision}`}`,
    ...grades
      .flatMap(({ grader, score: given, note }) =>
        wrap(`${safe(grader)} ${scoreText(given)}: ${safe(note)}`, PAGE_COLUMNS - 2),
      )
      .map((line) => `  ${line}`),
    ...block(state === 'answered' ? text : (error ?? state)),
  ];
};

const block = (text: string): string[] =>
  text.split('\n').flatMap((line) => wrap(safe(line), PAGE_COLUMNS - 4).map((part) => `  │ ${part}`));

/** Control characters of a model's answer never reach a terminal. */
const safe = (text: string): string => text.replace(/\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');

const name = (text: string, columns = NAME_COLUMNS): string => {
  const shown = safe(text);
  return shown.length > columns ? `${shown.slice(0, columns - 1)}…` : shown;
};

const tableOf = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, at) => (at === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) table.push([...row]);
  return table.toString();
};
