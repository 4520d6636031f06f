import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

/** A chat request of the scenarios that the policies allow, in a scenario's words. */
export interface ExampleCaller {
  caller: object;
  purpose: object;
  model: string;
}

/**
 * Somebody whom the policies at hand are known to allow: of the first scenario of an allowed chat completion that needs
 * nothing else to be so. Undefined when no scenario is one.
 */
export const exampleCaller = async (scenarios: string): Promise<ExampleCaller | undefined> => {
  const names = (await readdir(scenarios).catch(() => [])).filter((name) => /\.ya?ml$/.test(name)).sort();
  for (const name of names) {
    for (const document of parseAllDocuments(await readFile(join(scenarios, name), 'utf8'))) {
      // What is wrong with a scenario, aegis test says.
      const example = exampleOf((document as { toJS(): unknown }).toJS());
      if (example !== undefined) return example;
    }
  }
  return undefined;
};

const exampleOf = (scenario: unknown): ExampleCaller | undefined => {
  const { given, request, expect } = tableOf(scenario);
  const { caller, purpose, ...more } = tableOf(given);
  const { endpoint, body } = tableOf(request);
  const { model } = tableOf(body);
  const isPlain = Object.keys(more).length === 0 && tableOf(caller).groups === undefined;
  const isAllowed = endpoint === 'chat.completions' && tableOf(expect).allow === true;
  if (!isPlain || !isAllowed || typeof model !== 'string') return undefined;
  return { caller: tableOf(caller), purpose: tableOf(purpose), model };
};

const tableOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
