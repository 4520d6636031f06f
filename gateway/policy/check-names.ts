import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Remark } from './finding.ts';

/** A comment with which a YAML or JSON file that is not data says so; without it, a misnamed table would be ignored silently. */
export const NOT_DATA = '# aegis: not data';

/** Only files named data.* are loaded; one with another name would be ignored without a word. */
export const checkNames = async (policies: string, files: readonly string[]): Promise<Remark[]> => {
  const findings: Remark[] = [];
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
