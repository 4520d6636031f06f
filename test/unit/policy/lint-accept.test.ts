import { describe, expect, test } from '@jest/globals';
import type { Remark } from '../../../gateway/policy/finding.ts';
import { applyAcceptances } from '../../../gateway/policy/lint-accept.ts';

const at = (line: number, check: string): Remark => ({ file: 'a.rego', line, check, why: 'because', fix: 'mend it' });
const apply = (text: string, ...remarks: Remark[]): string[] =>
  applyAcceptances(remarks, [{ file: 'a.rego', text }]).map(({ line, check }) => `${line} ${check}`);

describe('applyAcceptances', () => {
  test('takes out a finding that a person accepted with a reason, right above it', () => {
    expect(apply('# aegis: accept shadowed because both messages are wanted\ndeny if x', at(2, 'shadowed'))).toEqual(
      [],
    );
    expect(apply('\t# aegis: accept never-true because it is off for now\n\tfalse', at(2, 'never-true'))).toEqual([]);
  });

  test('looks through the METADATA and other acceptances above a rule', () => {
    const text =
      '# aegis: accept shadowed because one\n# aegis: accept unused because two\n# METADATA\n# title: A\ndeny if x';
    expect(apply(text, at(5, 'shadowed'), at(5, 'unused'))).toEqual([]);
  });

  test('leaves findings of another check and of other lines', () => {
    const text = '# aegis: accept shadowed because both are wanted\ndeny if x\ndeny if y';
    expect(apply(text, at(2, 'shadowed'), at(2, 'unused'), at(3, 'shadowed'))).toEqual(['2 unused', '3 shadowed']);
  });

  test.each([
    ['no reason', '# aegis: accept shadowed'],
    ['an empty reason', '# aegis: accept shadowed because  '],
    ['no check', '# aegis: accept'],
    ['a check that is none', '# aegis: accept shadow because I say so'],
    ['what cannot be accepted', '# aegis: accept format because I like it'],
  ])('refuses one with %s, and the finding stays', (_, comment) => {
    expect(apply(`${comment}\ndeny if x`, at(2, 'shadowed'))).toEqual(['1 accept', '2 shadowed']);
  });

  test('warns of one that accepts nothing any more', () => {
    expect(apply('# aegis: accept shadowed because both are wanted\ndeny if x')).toEqual(['1 accept-unused']);
  });

  test('is not taken in by a comment about something else', () => {
    expect(apply('# we accept shadowed rules because of aegis\ndeny if x', at(2, 'shadowed'))).toEqual(['2 shadowed']);
    expect(apply('# aegis: not data\nx: 1')).toEqual([]);
  });
});
