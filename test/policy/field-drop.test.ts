import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { readBundle } from '../../gateway/policy/bundle.ts';
import { CHECKOUT } from '../../gateway/policy/compiler.ts';
import { createPolicy } from '../../gateway/policy/engine.ts';
import { dropFields } from '../../gateway/policy/field-drop.ts';
import type { Policy } from '../../gateway/policy/policy.ts';
import type { Input } from '../../gateway/types.gen.ts';
import { adminInputs, demoInputs } from '../support/demo-inputs.ts';
import { measuredData } from '../support/measured-data.ts';

let policy: Policy;
let measured: Policy;
beforeAll(async () => {
  const bundle = await readBundle(await readFile(`${CHECKOUT}/bundles/default.tar.gz`));
  policy = await createPolicy(bundle);
  measured = await createPolicy({ ...bundle, data: { ...measuredData(policy.data) } });
});

/** The paths of all fields of objects, objects in lists too. */
const fieldsOf = (value: unknown, path: string[] = []): string[][] => {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => [
    ...(Array.isArray(value) ? [] : [[...path, key]]),
    ...fieldsOf(item, [...path, key]),
  ]);
};

const without = (input: Input, path: readonly string[]): Input => {
  const copy = structuredClone(input);
  let node = copy as unknown as Record<string, unknown>;
  for (const part of path.slice(0, -1)) node = node[part] as Record<string, unknown>;
  delete node[path.at(-1) as string];
  return copy;
};

describe('the default policies on the control plane', () => {
  const inputs = adminInputs();
  /** Without one of these the answer is no. */
  const CALLER = ['request', 'request.endpoint', 'caller', 'caller.id', 'caller.org', 'caller.roles', 'target'];
  const TARGET = ['target.org', 'target.roles', 'target.workflows', 'caller.workflows'];
  const NEEDED: Record<string, readonly string[]> = {
    'an administrator who reads the upstreams': CALLER,
    'an administrator who makes a key': [...CALLER, ...TARGET, 'target.team'],
    'an administrator who rotates a key': [...CALLER, ...TARGET],
    'an administrator of the platform who ends another organisation’s key': [...CALLER, ...TARGET],
  };

  test('allow and deny these inputs as their names say', () => {
    const allowed = Object.keys(inputs).filter((name) => policy.admin(inputs[name] as Input).allow);
    expect(allowed).toEqual(Object.keys(NEEDED));
  });

  test.each(Object.keys(NEEDED))('allow nobody of whom less is known: %s', (name) => {
    const asking = inputs[name] as Input;
    const refused = fieldsOf(asking)
      .filter((path) => !policy.admin(without(asking, path)).allow)
      .map((path) => path.join('.'));
    expect(refused.sort()).toEqual([...(NEEDED[name] ?? [])].sort());
  });

  test.each(Object.keys(inputs))('grant no more with any field missing: %s', (name) => {
    const asking = inputs[name] as Input;
    const whole = policy.admin(asking);
    for (const path of fieldsOf(asking)) {
      const some = policy.admin(without(asking, path));
      if (some.allow) expect([path.join('.'), whole.allow, some.org]).toEqual([path.join('.'), true, whole.org]);
    }
  });

  test.each(Object.keys(demoInputs()))('refuse what is asked of the data plane: %s', (name) => {
    expect(policy.admin(demoInputs()[name] as Input).allow).toBe(false);
  });
});

describe('the default policies', () => {
  const inputs = demoInputs();

  test('allow and deny these inputs as their names say', () => {
    const denied = Object.keys(inputs).filter((name) => !policy.decide(inputs[name] as Input).allow);
    expect(denied).toEqual([
      'a student who asks for the frontier',
      'a student who asks for vectors',
      'vectors of no named model',
      'an unknown organisation',
      'an unknown workflow',
      'a student who would act for another',
    ]);
  });

  // The same on the inputs of the scenarios is a part of `aegis test`.
  test.each([
    ['as they are', () => policy],
    ['with measurements, experiments and mirrors', () => measured],
  ])('%s: with any field of these inputs missing, deny or grant no more', (_, decides) => {
    // Each with draws of its own, so that all arms and both sides of a share are among them.
    const drawn = Object.entries(inputs).flatMap(([name, input]) =>
      [0, 1700, 3400, 5100].map((bucket) => ({
        name: `${name}, drawn by ${bucket}`,
        input: { ...input, bucket: { request: bucket, user: bucket, session: bucket, org: bucket } },
      })),
    );
    const dropped = dropFields(drawn, decides());
    const granted = dropped.flatMap(({ field, open }) =>
      open.map(({ base, grants }) => `${base.name} without ${field}: ${grants.map(({ how }) => how).join('; ')}`),
    );
    expect(granted).toEqual([]);
    expect(dropped.length).toBeGreaterThan(60);
    expect(dropped.find(({ field }) => field === 'caller.roles')?.decided).toBe(drawn.length);
  });

  test('have arms, mirrors and measured orders among these inputs', () => {
    const rules = new Set<string>();
    for (const input of Object.values(inputs)) {
      for (let bucket = 0; bucket < 10_000; bucket += 500) {
        const drawn = { ...input, bucket: { request: bucket, user: bucket, session: bucket, org: bucket } };
        for (const rule of measured.decide(drawn).rules) rules.add(rule);
      }
    }
    expect([...rules]).toEqual(
      expect.arrayContaining(['experiments.assigned', 'mirrors.mirrored', 'routing.measured']),
    );
  });
});
