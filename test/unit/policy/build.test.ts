import { beforeAll, describe, expect, test } from '@jest/globals';
import { requireCompiler } from '../../../gateway/policy/compiler.ts';
import { allowAll, compile } from '../../support/policy-fixture.ts';

const LINK = 'https://example.org/policies/blob/{commit}/{file}#L{line}';
const manifest = (aegis: object): string => JSON.stringify({ metadata: { aegis } });

describe('the manifest of a bundle', () => {
  beforeAll(async () => {
    await requireCompiler();
  });

  test('takes the link to rules and the oldest gateway from the policies’ own, and is another revision with it', async () => {
    const plain = await compile(allowAll());
    const linked = await compile({ ...allowAll(), '.manifest': manifest({ rule_link: LINK, min_gateway: '0.0.1' }) });
    expect(plain.manifest.metadata.aegis).not.toHaveProperty('rule_link');
    expect(linked.manifest.metadata.aegis).toMatchObject({ rule_link: LINK, min_gateway: '0.0.1' });
    expect(linked.manifest.revision).not.toBe(plain.manifest.revision);
  });

  test('that is no JSON, or has a link that is no address, is said in a sentence', async () => {
    await expect(compile({ ...allowAll(), '.manifest': '{' })).rejects.toThrow(/^policies\/\.manifest is not JSON: /);
    const script = compile({ ...allowAll(), '.manifest': manifest({ rule_link: 'javascript:alert(1)' }) });
    await expect(script).rejects.toThrow(/^bundle: \.manifest: \/metadata\/aegis\/rule_link must match/);
  });
});
