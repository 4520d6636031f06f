import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { Command } from 'commander';
import { CHECKOUT } from '../policy/compiler.ts';
import { CliError, forPeople } from './cli-error.ts';
import { ruleTemplate } from './rule-template.ts';
import { exampleCaller } from './rule-template-caller.ts';

const DEFAULT = resolve(CHECKOUT, 'policies');

/** `aegis new rule NAME`: a rule that works, its unit test and its scenarios, to be changed into what is wanted. */
export const newRuleCommand = (): Command =>
  new Command('rule')
    .description('make a rule, its unit test and its scenarios, which pass as they are')
    .argument('<name>', 'its folder below rules/, and so its package: lower case, digits and _')
    .argument('[policies]', 'folder of the policies', DEFAULT)
    .action(forPeople(newRule));

const newRule = async (name: string, folder: string): Promise<void> => {
  const policies = resolve(folder);
  checkName(name);
  if (!existsSync(join(policies, 'rules'))) {
    throw new CliError(
      `${folder}: there is no folder rules/ in it, so these are no policies; name the folder that has them`,
    );
  }
  const fixtures = join('aegis', 'testing', 'testing_test.rego');
  if (!existsSync(join(policies, fixtures))) {
    throw new CliError(
      `${folder}: unit tests start from the inputs of ${fixtures}, which is not there; copy it from the default policies`,
    );
  }
  const scenarios = join(policies, 'scenarios');
  const schema = relative(scenarios, join(CHECKOUT, 'schemas', 'scenario.json'))
    .split(sep)
    .join('/');
  const files = ruleTemplate(name, { schema, caller: await exampleCaller(scenarios) });
  const rule = join(policies, 'rules', name);
  for (const taken of [rule, ...Object.keys(files).map((file) => join(policies, file))]) {
    if (existsSync(taken))
      throw new CliError(`${shown(taken)} is there already: choose another name, or change that one`);
  }
  await writeAll(policies, files);
  const place = policies === DEFAULT ? '' : ` ${shown(policies)}`;
  // Without -o it would be the default bundle that is written over.
  const output = policies === DEFAULT ? '' : ' -o bundle.tar.gz';
  console.log(
    [
      ...Object.keys(files).map((file) => `made  ${shown(join(policies, file))}`),
      '',
      `It works as it is: it refuses members of the group "${name}-blocked". The comments say what to change. Then:`,
      `  ./aegis check${place}`,
      `  ./aegis test${place}`,
      `  ./aegis build${place}${output}`,
    ].join('\n'),
  );
};

/** Words that Rego keeps for itself: none can be the last part of a package's path. */
const RESERVED = new Set(
  'as contains data default else every false if import in input not null package some true with'.split(' '),
);

const checkName = (name: string): void => {
  const refuse = (why: string): never => {
    throw new CliError(`"${name}" cannot be the name of a rule: ${why}`);
  };
  if (!/^[a-z][a-z0-9_]{0,39}$/.test(name))
    refuse('a package in Rego is a lower-case letter, then at most 39 lower-case letters, digits and _');
  if (RESERVED.has(name)) refuse('the word is reserved in Rego');
  if (name.endsWith('_test')) refuse(`files named *_test.rego are tests; try "${name.slice(0, -'_test'.length)}"`);
};

/** All files or none: what was written is taken away again when the rest cannot be. */
const writeAll = async (policies: string, files: Readonly<Record<string, string>>): Promise<void> => {
  const written: string[] = [];
  try {
    for (const [file, text] of Object.entries(files)) {
      const path = join(policies, file);
      const first = await mkdir(dirname(path), { recursive: true });
      if (first !== undefined) written.push(first);
      await writeFile(path, text, { flag: 'wx' });
      written.push(path);
    }
  } catch (error) {
    for (const path of written.reverse()) await rm(path, { recursive: true, force: true });
    throw error;
  }
};

/** A path as people would type it here. */
const shown = (path: string): string => {
  const near = relative(process.cwd(), path);
  return near.startsWith('..') ? path : near;
};
