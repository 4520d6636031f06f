import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Policy } from '../policy/policy.ts';
import { checkScenario } from '../policy/shapes.ts';
import type { TestResult, TestSuite } from '../policy/test-result.ts';
import { type Difference, runScenario } from './scenario.ts';

/** Runs the scenarios of a folder of policies on these policies, built. */
export const scenarioSuite = async (policies: string, policy: Policy): Promise<TestSuite> => {
  const folder = join(policies, 'scenarios');
  const names = (await listFiles(folder)).filter((name) => /\.ya?ml$/.test(name)).sort();
  const results: TestResult[] = [];
  for (const name of names) {
    for (const document of parseAllDocuments(await readFile(join(folder, name), 'utf8'))) {
      const place = `${basename(policies)}/scenarios/${name}`;
      results.push(runDocument(document as { errors: { message: string }[]; toJS(): unknown }, place, policy));
    }
  }
  if (results.length === 0) {
    results.push({ suite: 'scenarios', name: 'there are scenarios', ok: false, detail: `none in ${folder}`, ms: 0 });
  }
  return { name: 'scenarios', results };
};

const runDocument = (
  document: { errors: { message: string }[]; toJS(): unknown },
  place: string,
  policy: Policy,
): TestResult => {
  const start = performance.now();
  const result = (name: string, detail: string): TestResult => {
    return { suite: 'scenarios', name, ok: detail === '', detail, ms: performance.now() - start };
  };
  let name = place;
  try {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(error.message);
    const scenario = document.toJS();
    checkScenario(scenario);
    name = scenario.name;
    const { differences, rules } = runScenario(scenario, policy);
    if (differences.length === 0) return result(name, '');
    const fired = rules.map((rule) => `  ${rule.padEnd(36)} ${locate(rule, policy)}`);
    return result(
      name,
      [place, ...sideBySide(differences), 'rules that fired:', ...(fired.length > 0 ? fired : ['  none'])].join('\n'),
    );
  } catch (error) {
    const { message, cause } = error as { message?: string; cause?: { message?: string } };
    return result(name, `${place}\n${message ?? String(error)}${cause?.message ? `: ${cause.message}` : ''}`);
  }
};

const locate = (rule: string, policy: Policy): string => {
  const known = policy.manifest.metadata.aegis.rules[rule];
  return known === undefined ? '' : `${known.file}:${known.line}  ${known.title}`;
};

const sideBySide = (differences: readonly Difference[]): string[] => {
  const rows = differences.map(({ field, expected, actual }) => [field, show(expected), show(actual)] as const);
  const width = Math.min(48, Math.max(8, ...rows.map(([, expected]) => expected.length)));
  const line = ([field, expected, actual]: readonly [string, string, string]): string =>
    `${field.padEnd(18)}${expected.padEnd(width + 2)}${actual}`;
  return [line(['', 'expected', 'actual']), ...rows.map(line)];
};

const show = (value: unknown): string => {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
};

const listFiles = async (folder: string): Promise<string[]> => {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
};
