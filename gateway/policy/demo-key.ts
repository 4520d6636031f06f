import { createPublicKey, type KeyObject } from 'node:crypto';
import { fingerprint, type PublicKeys } from './signature.ts';

/** sha256 of the SPKI form of bundles/keys/demo.pub.pem. Its private half is in the repository, for all to read. */
const DEMO_KEY_SHA256 = '5b43265fb19ace17b2f5c5abc7d27409a4bc126235c05ec408289d38ce11eecf';

/** Whether a public key (PEM or key) is the demo key, under whatever name it is filed. */
export const isDemoKey = (key: string | KeyObject): boolean =>
  fingerprint(typeof key === 'string' ? createPublicKey(key) : key) === DEMO_KEY_SHA256;

/**
 * Whether bundles signed with the demo key would be activated. Anybody can sign with it, so a gateway that trusts it must
 * not listen beyond loopback.
 */
export const trustsDemoKey = (keys: PublicKeys): boolean => [...keys.values()].some(isDemoKey);
