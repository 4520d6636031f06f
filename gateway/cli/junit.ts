import type { TestResult, TestSuite } from '../policy/test-result.ts';

/** Longest failure message; the whole text is in the element. */
const MESSAGE = 200;

/**
 * Test results as JUnit XML, the form that CI systems show (its schema: Jenkins' junit-10.xsd). One suite for each kind of
 * tests; the share of lines that unit tests run, per cent, is the property `coverage` of the suite `rego`.
 */
export const junit = (suites: readonly TestSuite[], coverage: number | undefined): string => {
  const results = suites.flatMap((suite) => suite.results);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="aegis test" ${counts(results)}>`,
    ...suites.flatMap((suite) => suiteLines(suite, suite.name === 'rego' ? coverage : undefined)),
    '</testsuites>',
    '',
  ].join('\n');
};

const suiteLines = ({ name, results, skipped, note }: TestSuite, coverage: number | undefined): string[] => {
  const properties = [
    ['coverage', coverage === undefined ? undefined : String(coverage)],
    ['skipped', skipped],
    ['note', note],
  ].flatMap(([key, value]) =>
    value === undefined ? [] : [`      <property name="${key}" value="${escapeXml(value)}"/>`],
  );
  return [
    `  <testsuite name="${name}" ${counts(results)} errors="0" skipped="0">`,
    ...(properties.length === 0 ? [] : ['    <properties>', ...properties, '    </properties>']),
    ...results.map(testCase),
    '  </testsuite>',
  ];
};

const testCase = (result: TestResult): string => {
  const { suite, name, ok, detail, file, line } = result;
  const attributes = [
    ['classname', file === undefined ? suite : `${suite}.${file.replace(/\.[^./]+$/, '').replaceAll('/', '.')}`],
    ['name', name],
    ['file', file],
    ['line', line === undefined ? undefined : String(line)],
    ['time', seconds([result])],
  ].flatMap(([key, value]) => (value === undefined ? [] : [`${key}="${escapeXml(value)}"`]));
  const open = `    <testcase ${attributes.join(' ')}`;
  if (ok) return `${open}/>`;
  const message = detail.replace(/\s+/g, ' ').slice(0, MESSAGE);
  return `${open}><failure type="failed" message="${escapeXml(message)}">${escapeXml(detail)}</failure></testcase>`;
};

const counts = (results: readonly TestResult[]): string =>
  `tests="${results.length}" failures="${results.filter(({ ok }) => !ok).length}" time="${seconds(results)}"`;

const seconds = (results: readonly TestResult[]): string =>
  (results.reduce((sum, { ms }) => sum + ms, 0) / 1000).toFixed(3);

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
};

/** Characters that XML 1.0 does not allow at all, and halves of a pair, become a replacement character. */
const escapeXml = (text: string): string =>
  text
    .toWellFormed()
    .replace(/[&<>"\r]/g, (char) => ENTITIES[char] as string)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd');
