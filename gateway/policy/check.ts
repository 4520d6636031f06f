import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { sourceFiles } from './build.ts';
import { checkData } from './check-data.ts';
import { CHECKOUT, type Compiler } from './compiler.ts';
import type { Finding } from './finding.ts';
import { lintModule } from './lint.ts';
import { lintFolders, type ParsedFile } from './lint-folders.ts';
import { runOpa } from './opa.ts';
import type { Module } from './rego-ast.ts';

/** A comment with which a YAML or JSON file that is not data says so; without it, a misnamed table would be ignored silently. */
export const NOT_DATA = '# aegis: not data';

/**
 * All that can be said of policies without running them: format, types against the input schema, the fail-open traps, the
 * data's shape and references. Findings in order of file and line; none means good. Throws only when the compiler does not
 * run.
 */
export const checkPolicies = async (policies: string, compiler: Compiler): Promise<Finding[]> => {
  const files = (await readdir(policies, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(policies.length + 1))
    .sort();
  const modules = files.filter((name) => name.endsWith('.rego'));
  const findings = [
    ...(await checkFormat(policies, compiler)),
    ...(await checkTypes(policies, files, compiler)),
    ...(await checkNames(policies, files)),
    ...(await checkData(
      policies,
      (await sourceFiles(policies)).filter((name) => !name.endsWith('.rego')),
    )),
  ];
  const linted: ParsedFile[] = [];
  for (const name of modules) {
    const parsed = await runOpa(
      compiler,
      ['parse', join(policies, name), '-f', 'json', '--json-include', 'locations'],
      policies,
    );
    if (parsed.code === 0 && !name.endsWith('_test.rego')) {
      const file = `${basename(policies)}/${name}`;
      const module = JSON.parse(parsed.stdout) as Module;
      findings.push(...lintModule(module, file));
      linted.push({ file, module });
    }
  }
  findings.push(...lintFolders(linted));
  return findings.sort((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1));
};

const checkFormat = async (policies: string, compiler: Compiler): Promise<Finding[]> => {
  const { stdout, code, stderr } = await runOpa(
    compiler,
    ['fmt', '--fail', '--list', basename(policies)],
    dirname(policies),
  );
  if (code !== 0 && stdout.trim() === '' && !stderr.includes('parse error')) throw new Error(stderr.trim());
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((file) => ({ file, line: 0, check: 'format', why: 'it is not formatted', fix: `opa fmt --write ${file}` }));
};

interface OpaErrors {
  errors?: { message: string; code: string; location?: { file: string; row: number; col: number } }[];
}

/** `opa check --strict` over the rules with the input schema: misspelt fields, unused names, forbidden functions. */
const checkTypes = async (policies: string, files: readonly string[], compiler: Compiler): Promise<Finding[]> => {
  const hasTests = files.some((name) => name.endsWith('_test.rego'));
  const runs = [{ file: 'capabilities.json', ignore: ['--ignore', '*_test.rego'] }];
  if (hasTests)
    runs.push({
      file: files.includes('capabilities-test.json') ? 'capabilities-test.json' : 'capabilities.json',
      ignore: [],
    });
  const findings = new Map<string, Finding>();
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
      findings.set(`${place.file}:${place.line} ${why}`, {
        ...place,
        ...column,
        check: kind,
        why,
        fix: fixFor(message),
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

/** Only files named data.* are loaded; one with another name would be ignored without a word. */
const checkNames = async (policies: string, files: readonly string[]): Promise<Finding[]> => {
  const findings: Finding[] = [];
  for (const name of files) {
    const plain =
      /\.(json|ya?ml)$/.test(name) && !name.startsWith('scenarios/') && !/^capabilities[^/]*\.json$/.test(name);
    if (!plain || /(^|\/)data\.(json|ya?ml)$/.test(name)) continue;
    const text = await readFile(join(policies, name), 'utf8');
    if (text.split('\n').includes(NOT_DATA)) continue;
    findings.push({
      file: `${basename(policies)}/${name}`,
      line: 0,
      check: 'data-name',
      why: 'only files named data.yaml or data.json are loaded: this one is ignored',
      fix: `name it data.yaml in a folder of its own; if it is no policy data, put a line "${NOT_DATA}" into it`,
    });
  }
  return findings;
};
