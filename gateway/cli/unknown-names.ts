import { createBundleStore, readStoredBundle } from '../policy/bundle-store.ts';
import type { KeyGrant } from '../store/keys.ts';

/**
 * What a new key names that the last activated policies of this home do not know, a sentence each. A warning only: the
 * policies decide, and a later bundle may know the name. Empty when no bundle was activated here or it cannot be read.
 */
export const unknownNames = async (home: string, grant: KeyGrant): Promise<string[]> => {
  const data = await lastData(home);
  if (data === undefined) return [];
  const { organizations, roles, workflows } = data;
  const organization = at(organizations, grant.org);
  const unknown: string[] = [];
  const expect = (table: unknown, name: string, what: string): void => {
    if (isTable(table) && name !== '' && !Object.hasOwn(table, name))
      unknown.push(`the policies know no ${what} "${name}"`);
  };
  expect(organizations, grant.org, 'organisation');
  expect(at(organization, 'teams'), grant.team, `team of ${grant.org}`);
  for (const role of grant.roles) expect(roles, role, 'role');
  for (const workflow of grant.workflows) expect(workflows, workflow, 'workflow');
  return unknown;
};

const lastData = async (home: string): Promise<Readonly<Record<string, unknown>> | undefined> => {
  try {
    const mark = await createBundleStore(home).readMark();
    return mark && (await readStoredBundle(home, mark.digest))?.data;
  } catch {
    return undefined; // `aegis serve` and `aegis verify` say what is wrong with a bundle.
  }
};

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const at = (table: unknown, name: string): unknown =>
  isTable(table) && Object.hasOwn(table, name) ? table[name] : undefined;
