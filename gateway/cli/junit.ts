import type { TestResult } from '../policy/test-result.ts';

/** Test results as JUnit XML, the form that CI systems show. */
export const junit = (results: readonly TestResult[]): string => {
  const suites = [...new Set(results.map(({ suite }) => suite))].map((suite) => {
    const tests = results.filter((result) => result.suite === suite);
    const failures = tests.filter(({ ok }) => !ok).length;
    const head = `  <testsuite name="${escapeXml(suite)}" tests="${tests.length}" failures="${failures}" time="${seconds(tests)}">`;
    return [head, ...tests.map(testCase), '  </testsuite>'].join('\n');
  });
  const failures = results.filter(({ ok }) => !ok).length;
  const head = `<testsuites name="aegis test" tests="${results.length}" failures="${failures}" time="${seconds(results)}">`;
  return ['<?xml version="1.0" encoding="UTF-8"?>', head, ...suites, '</testsuites>', ''].join('\n');
};

const testCase = (result: TestResult): string => {
  const open = `    <testcase classname="${escapeXml(result.suite)}" name="${escapeXml(result.name)}" time="${seconds([result])}"`;
  return result.ok ? `${open}/>` : `${open}><failure message="failed">${escapeXml(result.detail)}</failure></testcase>`;
};

const seconds = (results: readonly TestResult[]): string =>
  (results.reduce((sum, { ms }) => sum + ms, 0) / 1000).toFixed(3);

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

/** Characters that XML does not allow at all become a replacement character. */
const escapeXml = (text: string): string =>
  text
    .replace(/[&<>"]/g, (char) => ENTITIES[char] as string)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '\ufffd');
