import { createHmacSha256 } from '../hmac.ts';
import { maskValue } from './mask-value.ts';
import { mintId, NAMES } from './placeholders.ts';
import type { Entity, OpenVault, RedactRule, TextRestorer, Vault } from './redactor.ts';
import { createRestorer, type Restorable } from './restorer.ts';

type Hmac = ReturnType<typeof createHmacSha256>;

/** For a vault without placeholders, and so for most answers: nothing to look for, nothing to hold back. */
const PASS_THROUGH: TextRestorer = { push: (piece) => piece, flush: () => '' };

/**
 * Makes the opener of vaults. `secret` keys every placeholder: replicas that share it give the same ones, and who lacks
 * it can make none. Throws RangeError for a secret under 32 bytes.
 */
export const createVaults = (secret: Buffer): OpenVault => {
  if (secret.length < 32) throw new RangeError('the secret of the placeholders must have at least 32 bytes');
  const keyOf = createHmacSha256(secret);
  return (scope, taken = () => false) => openVault(() => createHmacSha256(keyOf(scope)), taken);
};

const openVault = (openScope: () => Hmac, taken: (id: string) => boolean): Vault => {
  const byPlaceholder = new Map<string, Restorable>();
  const byValue = new Map<string, string>();
  const minted = new Set<string>();
  const names: string[] = [];
  let hmac: Hmac | undefined;

  const placeholder = (value: string, entity: Entity, rule: RedactRule): string => {
    hmac ??= openScope();
    const name = NAMES[entity];
    const id = mintId(hmac, 'placeholder', entity, value, (id) => minted.has(id) || taken(id));
    const text = `${name}_${id}`;
    minted.add(id);
    if (rule.restore.length === 0) return text;
    byPlaceholder.set(text, {
      value,
      text: rule.restore.includes('text'),
      links: rule.restore.includes('links'),
      toolArguments: rule.restore.includes('tool_arguments'),
    });
    if (!names.includes(name)) names.push(name);
    return text;
  };

  const replacement = (value: string, entity: Entity, rule: RedactRule): string => {
    switch (rule.action) {
      case 'tokenize':
        return placeholder(value, entity, rule);
      case 'mask':
        return maskValue(value);
      case 'hash':
        hmac ??= openScope();
        return `${NAMES[entity]}_HASH_${mintId(hmac, 'hash', entity, value, () => false)}`;
      case 'remove':
        return '';
      case 'block':
        throw new TypeError('a blocked value has no replacement: the request must fail');
    }
  };

  return {
    get size() {
      return byPlaceholder.size;
    },
    replace(value, entity, rule) {
      const known = `${entity}\0${rule.action}\0${value}`;
      let text = byValue.get(known);
      if (text === undefined) {
        text = replacement(value, entity, rule);
        byValue.set(known, text);
      }
      return text;
    },
    restore(text, place, encode) {
      if (byPlaceholder.size === 0 || !text.includes('_')) return text;
      const restorer = createRestorer({ byPlaceholder, names }, place, encode);
      return restorer.push(text) + restorer.flush();
    },
    restorer: (place, encode) =>
      byPlaceholder.size === 0 ? PASS_THROUGH : createRestorer({ byPlaceholder, names }, place, encode),
  };
};
