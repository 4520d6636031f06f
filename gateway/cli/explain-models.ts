import type { ConsideredModel, Needed, PolicyExplanation } from '../types.gen.ts';
import { field, PAGE_COLUMNS } from './page.ts';
import { wrap } from './wrap.ts';

/** The models that were considered: those that are tried one a line, the losers by what they failed. */
export const consideredLines = (policy: PolicyExplanation | undefined): string[] => {
  const all = policy?.considered ?? [];
  const tried = all.filter(({ verdict }) => verdict !== 'lost');
  const lost = all.filter(({ verdict }) => verdict === 'lost');
  return [
    ...tried.map((entry) => field(entry.verdict, `${nameOf(entry)}: ${entry.why.join('; ')}`)),
    ...[...Map.groupBy(lost, ({ why }) => why.join('; '))].map(([why, entries]) =>
      field('lost', `${entries.map(nameOf).join(', ')}: ${why}`),
    ),
  ];
};

const nameOf = ({ model, upstream }: ConsideredModel): string =>
  upstream === null ? model : `${model} by ${upstream}`;

/** What a refusal would have needed, by rule; the ways to satisfy one rule are joined by "or". */
export const neededLines = (policy: PolicyExplanation | undefined): string[] =>
  [...Map.groupBy(policy?.needed ?? [], ({ rule }) => rule)].flatMap(([rule, needs]) => [
    `  ${rule}`,
    ...needs.flatMap((need, index) => {
      const [first = '', ...rest] = wrap(`${index === 0 ? '' : 'or '}${wordsOf(need)}`, PAGE_COLUMNS - 6);
      return [`    ${first}`, ...rest.map((line) => `      ${line}`)];
    }),
  ]);

const wordsOf = ({ need, one_of: names }: Needed): string =>
  names.length === 0 ? need : `${need}: ${names.join(', ')}`;
