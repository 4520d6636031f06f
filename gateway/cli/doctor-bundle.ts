import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Settings } from '../config.ts';
import { isLoopback } from '../loopback.ts';
import { checkOrder, INPUT_SCHEMA_SHA256, verifyBundle } from '../policy/activate.ts';
import type { Bundle } from '../policy/bundle.ts';
import { createBundleStore } from '../policy/bundle-store.ts';
import { trustsDemoKey } from '../policy/demo-key.ts';
import { createPolicy } from '../policy/engine.ts';
import { checkRollout } from '../policy/shapes.ts';
import { type PublicKeys, readPublicKeys, verifySignature } from '../policy/signature.ts';
import { ROLLOUT_FILE } from '../policy/source.ts';
import { type Check, ok, problem, sentenceOf, warning } from './doctor-check.ts';

const DAY_MS = 86_400_000;
/** A bundle whose signature expires within this is worth a word. */
const SOON_MS = 14 * DAY_MS;

/** Looks at the keys that may sign, and at the bundle that rollout.yaml names, as a gateway does before it activates it. */
export const checkBundle = async (settings: Settings, now: number): Promise<Check[]> => {
  const { source, publicKeys: files } = settings.bundles;
  let keys: PublicKeys;
  try {
    keys = await readPublicKeys(files);
  } catch (error) {
    return [problem('keys of bundles', sentenceOf(error), 'name PEM files of public keys in bundles.public_keys')];
  }
  const checks = [checkTrust(keys, settings)];
  let file = join(source, ROLLOUT_FILE);
  try {
    const desired: unknown = parse(await readFile(file, 'utf8'));
    checkRollout(desired);
    file = join(source, desired.stable);
    const bundle = await verifyBundle(await readFile(file), keys, new Date(now));
    checkOrder(bundle, await createBundleStore(settings.home).readMark());
    const policy = await createPolicy(bundle);
    checks.push(await checkAge(file, bundle, keys, now));
    checks.push(...checkFit(bundle, policy.data.models, settings));
  } catch (error) {
    const fix = './aegis build (and ./aegis sign with a key that bundles.public_keys trusts)';
    checks.push(problem('bundle', `${file}: ${sentenceOf(error)}`, fix));
  }
  return checks;
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
  const { exp } = await verifySignature(bundle, keys, new Date(now));
  const { revision, metadata } = bundle.manifest;
  const days = Math.floor(Math.max(0, now - (await stat(file)).mtimeMs) / DAY_MS);
  const found = `${file} is good: revision ${revision}, sequence ${metadata.aegis.sequence}, ${days} days old`;
  if (exp !== undefined && exp * 1000 - now < SOON_MS) {
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
