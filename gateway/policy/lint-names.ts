import { retirementOf } from './check-deprecated.ts';
import { conditionsOf, spell } from './lint-conditions.ts';
import { unknownPart } from './lint-data-paths.ts';
import type { Report } from './lint-report.ts';
import { type Vocabulary, vocabularyOf, vocabularyOfMember } from './lint-vocabulary.ts';
import type { Term } from './rego-ast.ts';
import { type Body, visitOwnTerms } from './rego-bodies.ts';
import { originOf } from './rego-origin.ts';
import { matchingRules } from './rego-reach.ts';

interface Context {
  data: Readonly<Record<string, unknown>>;
  today: string;
  complete: boolean;
}

/**
 * Names in rules that are nowhere: constants that a field of the input or the data is compared with, parts of references,
 * members of candidates. Also models named in rules that are retired or soon will be.
 */
export const lintNames = (bodies: readonly Body[], context: Context, report: Report): void => {
  for (const body of bodies) {
    const say = (term: Term, words: Vocabulary | undefined): void => lintName(term, words, context, report);
    for (const { origin, constants, operator } of conditionsOf(body)) {
      if (origin === undefined || !('path' in origin) || (operator !== 'equal' && operator !== 'neq')) continue;
      const words = vocabularyOf(origin.path, false, context.data);
      for (const constant of constants) say(constant, words);
    }
    visitOwnTerms(body, (term) => {
      if (term.type === 'ref') lintReference(term, body, context, report);
      if (term.type !== 'object') return;
      for (const [key, value] of term.value as [Term, Term][]) {
        if (key.type === 'string') say(value, vocabularyOfMember(String(key.value), context.data));
      }
    });
  }
};

const lintName = (
  { type, value, location }: Term,
  words: Vocabulary | undefined,
  { data, today }: Context,
  report: Report,
): void => {
  if (type !== 'string' || words === undefined || location === undefined) return;
  const name = String(value);
  if (!words.names.has(name)) {
    const known = few([...words.names].filter(Boolean));
    report(location, 'reference', `"${name}" is not in ${words.source}`, `use one of ${known}, or add it there`);
  } else if (words.source === 'models') {
    const notice = retirementOf(data.models as Record<string, unknown>, name, today);
    if (notice !== undefined)
      report(location, 'deprecated-model', `"${name}" ${notice}`, 'name another model, or remove the rule');
  }
};

const lintReference = (term: Term, { scope }: Body, context: Context, report: Report): void => {
  const { data } = context;
  const parts = term.value as Term[];
  for (const [index, part] of parts.entries()) {
    if (index === 0) continue;
    const before = originOf({ ...term, value: parts.slice(0, index) }, scope);
    if (before === undefined || !('path' in before)) return;
    if (part.type === 'string') lintName(part, vocabularyOf(before.path, true, data), context, report);
    if (before.path[0] !== 'data' || part.type !== 'string') continue;
    const path = [...before.path.slice(1), String(part.value)];
    if (isVirtual(path, scope.program.rules)) {
      const missing =
        context.complete &&
        !path.includes('*') &&
        index === parts.length - 1 &&
        matchingRules(path, scope.program).length === 0;
      if (missing)
        report(
          part.location ?? { row: 1, col: 1 },
          'reference',
          `no rule is data.${path.join('.')}`,
          'use the name of a rule',
        );
      continue;
    }
    if (unknownPart(path.slice(0, -1), data) !== undefined) return; // said where that stands
    // The keys of this map are names: said above.
    if (vocabularyOf(before.path, true, data) !== undefined) continue;
    const unknown = unknownPart(path, data);
    if (unknown === undefined) continue;
    const why = `${spell({ ...term, value: parts.slice(0, index + 1) })}: the data have no data.${path.join('.').replaceAll('.*', '[_]')}`;
    report(
      part.location ?? { row: 1, col: 1 },
      'reference',
      why,
      `use one of ${few(unknown.known)}, or add it to the data`,
    );
    return;
  }
};

/** Whether a path leads to packages and not to data. */
const isVirtual = ([first]: readonly string[], rules: ReadonlyMap<string, unknown>): boolean =>
  first !== undefined && [...rules.keys()].some((key) => key === first || key.startsWith(`${first}\u0000`));

const few = (names: readonly string[]): string => {
  const shown = [...names].sort().slice(0, 12).join(', ');
  return names.length > 12 ? `${shown}, …` : shown;
};
