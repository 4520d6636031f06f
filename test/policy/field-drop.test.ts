import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { isGatewayError } from '../../gateway/errors.ts';
import { readBundle } from '../../gateway/policy/bundle.ts';
import { CHECKOUT } from '../../gateway/policy/compiler.ts';
import { createPolicy } from '../../gateway/policy/engine.ts';
import type { Policy } from '../../gateway/policy/policy.ts';
import { isDecision } from '../../gateway/policy/shapes.ts';
import type { Decision, Input } from '../../gateway/types.gen.ts';
import { adminInputs, demoInputs } from '../support/demo-inputs.ts';

let policy: Policy;
beforeAll(async () => {
  policy = await createPolicy(await readBundle(await readFile(`${CHECKOUT}/bundles/default.tar.gz`)));
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

/** The decision; undefined when there is none, which is 503. */
const decide = (input: Input): Decision | undefined => {
  try {
    return policy.decide(input);
  } catch (error) {
    if (isGatewayError(error) && error.code === 'policy_unavailable') return undefined;
    throw error;
  }
};

/** Keys that callers or operators choose: without one of them the input is still whole. */
const isEntry = (path: readonly string[]): boolean =>
  /^(request\.headers|caller\.claims|purpose\.tags|content\.(pii|secrets)|upstreams)\.[^.]+$/.test(path.join('.'));

const CLASSES = ['cheap', 'strong', 'frontier'];

/** A cautious rule may fall back on a cheaper class when it knows less, but on no dearer one and on no other third party. */
const noDearer = (some: Decision, whole: Decision): boolean => {
  const rank = (decision: Decision): number =>
    Math.max(-1, ...decision.route.candidates.map(({ model }) => CLASSES.indexOf(policy.data.models[model]!.class)));
  const known = new Set(whole.route.candidates.map(({ upstream }) => upstream));
  return (
    rank(some) <= rank(whole) &&
    some.route.candidates.every(({ upstream }) => known.has(upstream) || upstream === 'local')
  );
};

/** In which parts `some` grants what `whole` does not: nothing, when it is the same or stricter. */
const excess = (some: Decision, whole: Decision): string[] => {
  const within = (few: readonly unknown[], many: readonly unknown[]): boolean => {
    const known = new Set(many.map((item) => JSON.stringify(item)));
    return few.every((item) => known.has(JSON.stringify(item)));
  };
  const cap = ({ parameters }: Decision): number => parameters.max_output_tokens ?? Number.POSITIVE_INFINITY;
  const grants: [string, boolean][] = [
    ['allow', whole.allow],
    ['candidates', noDearer(some, whole)],
    ['max_output_tokens', cap(some) <= cap(whole)],
    ['tools', within(whole.tools.remove, some.tools.remove)],
    ['redact', within(whole.redact, some.redact)],
    ['limits', within(whole.rate.limits, some.rate.limits)],
    ['budgets', within(whole.budgets, some.budgets)],
    ['acting_for', some.acting_for === whole.acting_for],
    ['audit', JSON.stringify(some.audit) === JSON.stringify(whole.audit)],
  ];
  return grants.filter(([, ok]) => !ok).map(([part]) => part);
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
    const denied = Object.keys(inputs).filter((name) => !decide(inputs[name] as Input)?.allow);
    expect(denied).toEqual([
      'a student who asks for the frontier',
      'a student who asks for vectors',
      'vectors of no named model',
      'an unknown organisation',
      'an unknown workflow',
      'a student who would act for another',
    ]);
  });

  test.each(Object.keys(inputs))('with any field of the input missing, deny or grant no more: %s', (name) => {
    const base = inputs[name] as Input;
    const whole = decide(base) as Decision;
    expect(isDecision(whole)).toBe(true);
    const permissive: string[] = [];
    const fields = fieldsOf(base).filter((path) => !isEntry(path));
    for (const path of fields) {
      const decision = decide(without(base, path));
      const more = decision?.allow ? excess(decision, whole) : [];
      if (more.length > 0) permissive.push(`${path.join('.')}: ${more.join(', ')}`);
    }
    expect(permissive).toEqual([]);
    expect(fields.length).toBeGreaterThan(60);
  });
});
