import { describe, expect, test } from '@jest/globals';
import { createPseudonyms } from '../../../gateway/pseudonym.ts';
import { createDetector } from '../../../gateway/redact/detect.ts';
import { describe as describeCall } from '../../../gateway/stages/describe.ts';
import { endUserOf } from '../../../gateway/stages/end-user.ts';
import { receive } from '../../../gateway/stages/receive.ts';
import { CALLER, callOf, FACTS, HEAD, rawHeaders } from '../../support/calls.ts';

const detector = createDetector();
const pseudonym = createPseudonyms(Buffer.alloc(32, 1));
const user = (header: string, dialect: 'openai' | 'anthropic', body: Record<string, unknown>) =>
  endUserOf(header, { dialect, body }, detector, (name) => pseudonym('acme', name));

describe('the end user of a call', () => {
  test.each([
    ['openai', { user: 'zoe' }, 'zoe'],
    ['openai', { safety_identifier: 'zoe' }, 'zoe'],
    ['openai', { user: 'zoe', safety_identifier: 'other' }, 'zoe'],
    ['openai', { metadata: { user_id: 'zoe' } }, ''],
    ['anthropic', { metadata: { user_id: 'zoe' } }, 'zoe'],
    ['anthropic', { user: 'zoe' }, ''],
    ['openai', { user: '' }, ''],
    ['openai', { user: 7 }, ''],
    ['openai', { user: null }, ''],
    ['anthropic', { metadata: null }, ''],
    ['anthropic', { metadata: 'zoe' }, ''],
    ['anthropic', { metadata: { user_id: null } }, ''],
    ['openai', {}, ''],
  ] as const)('in a body of %s: %j', (dialect, body, name) => {
    expect(user('', dialect, body)).toEqual({ name, source: name === '' ? 'none' : 'body' });
  });

  test('in the header comes before the body', () => {
    expect(user('ann', 'openai', { user: 'zoe' })).toEqual({ name: 'ann', source: 'header' });
  });

  test.each([
    ['an e-mail address', 'zoe@example.org'],
    ['longer than the policy may be shown', 'x'.repeat(129)],
    ['with a line break', 'a\nb'],
    ['half a surrogate pair', '\ud800'],
  ])('stands by a pseudonym where it is %s', (_, name) => {
    const found = user('', 'openai', { user: name });
    expect(found).toEqual({ name: expect.stringMatching(/^hash:[0-9a-f]{32}$/), source: 'body' });
    expect(user('', 'anthropic', { metadata: { user_id: name } })).toEqual(found);
  });

  test('has another pseudonym in another organisation and with another pepper', () => {
    const [one, two] = [pseudonym('acme', 'zoe@example.org'), pseudonym('other', 'zoe@example.org')];
    expect(one).not.toBe(two);
    expect(createPseudonyms(Buffer.alloc(32, 2))('acme', 'zoe@example.org')).not.toBe(one);
    expect(createPseudonyms(Buffer.alloc(32, 1))('acme', 'zoe@example.org')).toBe(one);
  });

  test('is in the input, and the budgets that are looked up are theirs too', () => {
    const asked: string[] = [];
    const spend = (_caller: unknown, _purpose: unknown, name: string): [] => {
      asked.push(name);
      return [];
    };
    const facts = { ...FACTS, spend };
    const call = callOf('chat.completions', { model: 'm', messages: [], user: 'zoe' });
    const { input } = describeCall(call, HEAD, CALLER, facts, detector);
    expect(input.request.end_user).toEqual({ name: 'zoe', source: 'body' });
    expect(asked).toEqual(['zoe']);
  });
});

describe('x-aegis-user', () => {
  const headOf = (value: string) =>
    receive(
      {
        method: 'POST',
        url: '/v1/chat/completions',
        rawHeaders: rawHeaders({ 'x-aegis-user': value }),
        socket: { remoteAddress: '127.0.0.1' },
      },
      { requestId: 'req_1', decisionId: 'dec_1' },
    );

  test('is read as UTF-8', () => {
    expect(headOf(Buffer.from('zoë').toString('latin1')).endUser).toBe('zoë');
  });

  test.each([['x'.repeat(129)], ['a\u0001b']])('is refused when no policy could be shown it', (value) => {
    expect(() => headOf(value)).toThrow(expect.objectContaining({ code: 'invalid_header' }));
  });

  test('is refused twice', () => {
    const raw = [...rawHeaders({ 'x-aegis-user': 'a' }), 'X-Aegis-User', 'b'];
    const request = { method: 'POST', url: '/v1/messages', rawHeaders: raw, socket: { remoteAddress: '::1' } };
    expect(() => receive(request, { requestId: 'r', decisionId: 'd' })).toThrow('was sent twice');
  });
});
