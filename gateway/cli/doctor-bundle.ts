import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Settings } from '../config.ts';
import { isLoopback } from '../loopback.ts';
import { checkOrder, INPUT_SCHEMA_SHA256, verifyBundle } from '../policy/activate.ts';
import { type Bundle, MAX_BUNDLE_BYTES } from '../policy/bundle.ts';
import { createBundleStore } from '../policy/bundle-store.ts';
import { createOrigin } from '../policy/create-origin.ts';
import { trustsDemoKey } from '../policy/demo-key.ts';
import { createPolicy } from '../policy/engine.ts';
import type { BundleOrigin } from '../policy/origin.ts';
import { checkRollout } from '../policy/shapes.ts';
import { type PublicKeys, readPublicKeys, verifySignature } from '../policy/signature.ts';
import { ROLLOUT_FILE } from '../policy/source.ts';
import { checkCandidate } from './doctor-candidate.ts';
import { type Check, ok, problem, sentenceOf, warning } from './doctor-check.ts';
import { EXPIRES_SOON_MS } from './expiry.ts';

const DAY_MS = 86_400_000;

/** Looks at the keys that may sign, and at the bundle that rollout.yaml names, as a gateway does before it activates it. */
export const checkBundle = async (settings: Settings, now: number): Promise<Check[]> => {
  const origin = createOrigin(settings.bundles);
  let keys: PublicKeys;
  try {
    keys = await readPublicKeys(settings.bundles.publicKeys);
  } catch (error) {
    return [problem('keys of bundles', sentenceOf(error), 'name PEM files of public keys in bundles.public_keys')];
  }
  const checks = [checkTrust(keys, settings), ...checkWay(origin)];
  let file = origin.place;
  let candidate: string | undefined;
  try {
    let name = '';
    if (origin.hasRollout) {
      file = placeOf(origin, ROLLOUT_FILE);
      const desired: unknown = parse((await origin.read(ROLLOUT_FILE, MAX_BUNDLE_BYTES)).toString('utf8'));
      checkRollout(desired);
      name = desired.stable;
      candidate = desired.candidate;
      file = placeOf(origin, name);
    }
    const packed = await origin.read(name, MAX_BUNDLE_BYTES);
    const bundle = await verifyBundle(packed, keys, new Date(now));
    checkOrder(bundle, await createBundleStore(settings.home).readMark());
    const policy = await createPolicy(bundle);
    checks.push(await checkAge(file, bundle, keys, now));
    checks.push(...checkFit(bundle, policy.data.models, settings));
  } catch (error) {
    const isAway = typeof (error as { code?: unknown } | null)?.code === 'string' && isAddress(origin);
    const fix = isAway
      ? 'look at the server, and at bundles.source and bundles.token'
      : './aegis build (and ./aegis sign with a key that bundles.public_keys trusts)';
    const sentence = sentenceOf(error);
    checks.push(problem('bundle', sentence.startsWith(file) ? sentence : `${file}: ${sentence}`, fix));
  }
  if (candidate !== undefined) {
    const mark = await createBundleStore(settings.home)
      .readMark()
      .catch(() => undefined); // Told of the stable bundle.
    const at = { name: candidate, file: placeOf(origin, candidate) };
    checks.push(await checkCandidate(origin, at, keys, mark, now));
  }
  return checks;
};

const isAddress = ({ place }: BundleOrigin): boolean => /^https?:/.test(place);

const placeOf = (origin: BundleOrigin, name: string): string =>
  isAddress(origin) ? `${origin.place}${name}` : join(origin.place, name);

/** Bundles are signed; which of them serves, and what is in them, is not secret or safe on the way of plain http. */
const checkWay = (origin: BundleOrigin): Check[] => {
  const url = URL.parse(origin.place);
  if (url?.protocol !== 'http:' || isLoopback(url.hostname.replace(/^\[|\]$/g, ''))) return [];
  const found = `${origin.place} is plain http: who is on the way can read policies, and hold back new ones`;
  return [warning('bundle source', found, 'use https in bundles.source')];
};

const checkTrust = (keys: PublicKeys, { listen, adminListen }: Settings): Check => {
  const names = [...keys.keys()].join(', ');
  const own = 'make a key of your own (README.md, “A gateway of your own”)';
  if (!trustsDemoKey(keys)) return ok('keys of bundles', `signed by ${names} is trusted`);
  const found = `the demo key is trusted (${names}); its private half is public`;
  const isOpen = ![listen, adminListen].every(({ host }) => isLoopback(host));
  return isOpen
    ? problem('keys of bundles', `${found}, so the gateway refuses to listen beyond loopback`, own)
    : warning('keys of bundles', found, own);
};

const checkAge = async (file: string, bundle: Bundle, keys: PublicKeys, now: number): Promise<Check> => {
  const { exp, iat } = await verifySignature(bundle, keys, new Date(now));
  const { revision, metadata } = bundle.manifest;
  const bornMs = typeof iat === 'number' ? iat * 1000 : (await stat(file).catch(() => undefined))?.mtimeMs;
  const age = bornMs === undefined ? '' : `, ${Math.floor(Math.max(0, now - bornMs) / DAY_MS)} days old`;
  const found = `${file} is good: revision ${revision}, sequence ${metadata.aegis.sequence}${age}`;
  if (exp !== undefined && exp * 1000 - now < EXPIRES_SOON_MS) {
    const until = new Date(exp * 1000).toISOString();
    return warning('bundle', `${found}, expires ${until}`, './aegis sign it with a later --expires');
  }
  return ok('bundle', found);
};

/** Whether bundle and config belong together. */
const checkFit = (
  { manifest }: Bundle,
  models: Readonly<Record<string, { upstreams: Readonly<Record<string, string>> }>>,
  { upstreams }: Settings,
): Check[] => {
  const checks: Check[] = [];
  if (manifest.metadata.aegis.input_schema_sha256 !== INPUT_SCHEMA_SHA256) {
    checks.push(warning('bundle', 'it was built for a gateway with other facts', './aegis build, when it suits'));
  }
  const served = new Set(Object.values(models).flatMap((model) => Object.keys(model.upstreams)));
  const used = upstreams.filter(({ name }) => served.has(name)).map(({ name }) => name);
  const unused = upstreams.filter(({ name }) => !served.has(name)).map(({ name }) => name);
  const fix = 'name it in policies/models/data.yaml, or call the upstream what that file calls it';
  if (used.length === 0) {
    checks.push(problem('models', `no model of the bundle is at ${unused.join(', ')}`, fix));
  } else if (unused.length > 0) {
    checks.push(warning('models', `no model of the bundle is at ${unused.join(', ')}`, fix));
  } else {
    checks.push(ok('models', `there are models at ${used.join(', ')}`));
  }
  return checks;
};
