import { constantValueOf, isConstant } from './lint-conditions.ts';
import type { Report } from './lint-report.ts';
import { nameOf, type Rule, type Term } from './rego-ast.ts';
import { scopeOfRule } from './rego-origin.ts';
import type { Definition, Program } from './rego-program.ts';
import { createPattern, type Pattern, subsumes } from './rego-subsume.ts';

/**
 * Bodies that never decide: of one rule, where another body holds whenever this one does. With the same result it adds
 * nothing; of two refusals neither is ever alone; two values of a complete rule stop the evaluation.
 */
export const lintShadowed = (program: Program, reportIn: (file: string) => Report): void => {
  for (const definitions of program.rules.values()) {
    const patterns = definitions
      .filter(({ rule }) => !rule.default && rule.else === undefined)
      .map((definition) => patternOf(definition, program));
    for (const [index, narrow] of patterns.entries()) {
      for (const [other, wide] of patterns.entries()) {
        if (index === other || !lintPair(wide, narrow, index < other, reportIn(narrow.file))) continue;
        break; // one reason is enough
      }
    }
  }
};

interface Candidate {
  readonly rule: Rule;
  readonly file: string;
  readonly pattern: Pattern;
}

const patternOf = ({ rule, names, file }: Definition, program: Program): Candidate => ({
  rule,
  file,
  pattern: createPattern(rule, scopeOfRule(rule, program, names)),
});

/** Whether something was reported of `narrow`. Of two that are equal, the later one is reported. */
const lintPair = (wide: Candidate, narrow: Candidate, isEarlier: boolean, report: Report): boolean => {
  const isFirstOfEquals = (withHead: boolean): boolean => isEarlier && subsumes(narrow.pattern, wide.pattern, withHead);
  const at = narrow.rule.location;
  const place = `line ${wide.rule.location.row}${wide.file === narrow.file ? '' : ` of ${wide.file}`}`;
  const name = nameOf(narrow.rule);
  if (subsumes(wide.pattern, narrow.pattern, true)) {
    if (isFirstOfEquals(true)) return false;
    const why = `whenever this body of ${name} holds, the one in ${place} holds with the same result: its further conditions change nothing`;
    report(at, 'shadowed', why, 'remove it, or add to the other one what tells them apart');
    return true;
  }
  const isDeny = name === 'deny' && narrow.rule.head.key !== undefined;
  if (isDeny && subsumes(wide.pattern, narrow.pattern, false)) {
    if (isFirstOfEquals(false)) return false;
    const why = `whatever this refuses, the rule in ${place} refuses too: it never decides alone`;
    report(at, 'shadowed', why, 'make the conditions of one exclude the other, or make one rule of both');
    return true;
  }
  const [one, two] = [valueText(wide.rule), valueText(narrow.rule)];
  if (one === undefined || two === undefined || one === two || !subsumes(wide.pattern, narrow.pattern, 'arguments'))
    return false;
  if (isEarlier && subsumes(narrow.pattern, wide.pattern, 'arguments')) return false;
  const why = `${name} is ${one} in ${place} whenever it is ${two} here: two values at once stop the evaluation (503)`;
  report(at, 'conflict', why, 'make the conditions exclude each other');
  return true;
};

/** The constant value of a complete rule or function, as text; undefined for others. */
const valueText = ({ head }: Rule): string | undefined => {
  if (head.key !== undefined || (head.ref?.length ?? 1) > 1) return undefined;
  const value: Term = head.value ?? { type: 'boolean', value: true };
  return isConstant(value) ? JSON.stringify(constantValueOf(value)) : undefined;
};
