import { basename, dirname, join } from 'node:path';
import { CHECKOUT, type Compiler } from './compiler.ts';
import type { Remark } from './finding.ts';
import { runOpa } from './opa.ts';

/** The compiler's code for what is no Rego. */
const PARSE_ERROR = 'rego_parse_error';

interface OpaErrors {
  errors?: { message: string; code: string; location?: { file: string; row: number; col: number } }[];
}

/**
 * `opa check --strict` over the rules with the input schema: misspelt fields, unused names, forbidden functions. `files` are
 * relative to `policies`. Throws an Error when the compiler says something else than its findings.
 */
export const checkTypes = async (policies: string, files: readonly string[], compiler: Compiler): Promise<Remark[]> => {
  const hasTests = files.some((name) => name.endsWith('_test.rego'));
  const runs = [{ file: 'capabilities.json', ignore: ['--ignore', '*_test.rego'] }];
  if (hasTests)
    runs.push({
      file: files.includes('capabilities-test.json') ? 'capabilities-test.json' : 'capabilities.json',
      ignore: [],
    });
  const findings = new Map<string, Remark>();
  for (const { file, ignore } of runs) {
    const args = [
      'check',
      '--strict',
      '--format',
      'json',
      '--schema',
      join(CHECKOUT, 'schemas', 'input.json'),
      ...ignore,
    ];
    if (files.includes(file)) args.push('--capabilities', join(policies, file));
    const { code, stdout, stderr } = await runOpa(compiler, [...args, '-b', basename(policies)], dirname(policies));
    if (code === 0) continue;
    for (const { message, code: kind, location } of parseErrors(stdout, stderr)) {
      const place = { file: location?.file ?? basename(policies), line: location?.row ?? 0 };
      const column = location === undefined ? {} : { column: location.col };
      const why = message.split('\n')[0] as string;
      // The compiler says several things of one place that does not parse; the first is enough.
      const key = kind === PARSE_ERROR ? kind : why;
      if (findings.has(`${place.file}:${place.line} ${key}`)) continue;
      findings.set(`${place.file}:${place.line} ${key}`, {
        ...place,
        ...column,
        check: kind,
        why,
        fix: kind === PARSE_ERROR ? 'look just before it: something is missing, or too much' : fixFor(message),
      });
    }
  }
  return [...findings.values()];
};

const parseErrors = (stdout: string, stderr: string): NonNullable<OpaErrors['errors']> => {
  for (const text of [stderr, stdout]) {
    try {
      const { errors } = JSON.parse(text) as OpaErrors;
      if (errors !== undefined) return errors;
    } catch {
      // the other stream has it, or it is text
    }
  }
  throw new Error((stderr || stdout).trim());
};

const fixFor = (message: string): string => {
  if (message.startsWith('undefined ref')) return 'fields of the input are in schemas/input.json';
  if (message.startsWith('undefined function')) return 'functions that may be called are in capabilities.json';
  return 'see the Rego reference';
};
