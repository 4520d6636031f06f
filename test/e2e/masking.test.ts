import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { openDatabase } from '../../gateway/store/database.ts';
import { createKey } from '../../gateway/store/keys.ts';
import { openPepper } from '../../gateway/store/pepper.ts';
import { chatCompletion, chatEvent, chatStream, message, messageEvent, messageStream } from '../support/answers.ts';
import { answerJson, answerStream, type FakeUpstream, openFakeUpstream } from '../support/fake-upstream.ts';
import { anthropicAt, openaiAt, openTestGateway, PEOPLE, PROVIDER_KEY, type TestGateway } from '../support/gateway.ts';
import { startServe, writeConfig } from '../support/serve.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openTestGateway();
});
beforeEach(() => {
  gateway.openai.play = answerJson(200, chatCompletion('Done.'));
  gateway.anthropic.play = answerJson(200, message('Done.'));
});
afterAll(() => gateway.close());

const VALUES = {
  EMAIL: 'jane.doe@example.org',
  PHONE: '+1 415 555 0132',
  IBAN: 'DE89370400440532013000',
  SSN: '536-90-4399',
  IP: '81.2.69.160',
};
const all = (glue: string): string =>
  `mail ${VALUES.EMAIL}${glue}call ${VALUES.PHONE}${glue}IBAN ${VALUES.IBAN}${glue}SSN ${VALUES.SSN}${glue}from IP ${VALUES.IP}`;

const PLACEHOLDER = /(?:EMAIL|PHONE|IBAN|SSN|IP)_[0-9A-HJKMNP-TV-Z]{13}/g;
const placeholdersIn = (body: Buffer): string[] => body.toString().match(PLACEHOLDER) ?? [];

const expectMasked = (body: Buffer, places: number): void => {
  const text = body.toString();
  for (const value of Object.values(VALUES)) expect(text).not.toContain(value);
  const decoded = JSON.stringify(JSON.parse(text));
  for (const value of Object.values(VALUES)) expect(decoded).not.toContain(value);
  const found = placeholdersIn(body);
  for (const name of Object.keys(VALUES)) {
    const ofName = found.filter((placeholder) => placeholder.startsWith(`${name}_`));
    expect([name, ofName.length]).toEqual([name, places]);
    expect(new Set(ofName).size).toBe(1); // one value, one placeholder
  }
};

const escaped = (text: string): string =>
  [...text].map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');

describe('no found value reaches the upstream', () => {
  test('from any place of a chat completion', async () => {
    const body = {
      messages: [
        { role: 'system', content: all('. ') },
        { role: 'developer', content: [{ type: 'text', text: all('\n') }] },
        { role: 'user', content: [{ type: 'text', text: all(', ') }], name: 'jane' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'c1',
              type: 'function',
              function: { name: 'f', arguments: JSON.stringify({ note: all('; '), n: [1] }) },
            },
          ],
        },
        { role: 'tool', tool_call_id: 'c1', content: JSON.stringify({ rows: [{ note: all(' | ') }] }) },
      ],
      metadata: { ticket: all(' / ') },
      prediction: { type: 'content', content: all(' - ') },
      some_future_field: { deep: [{ er: all(' * ') }] },
    };
    const answer = await gateway.chat(body);
    expect(answer.status).toBe(200);
    expectMasked(gateway.openai.last().body, 8);
    const { function: call } = JSON.parse(gateway.openai.last().body.toString()).messages[3].tool_calls[0];
    expect(JSON.parse(call.arguments)).toEqual({ note: expect.stringContaining('EMAIL_'), n: [1] });
  });

  test('from any place of a message', async () => {
    const body = {
      system: [{ type: 'text', text: all('. '), cache_control: { type: 'ephemeral' } }],
      messages: [
        { role: 'user', content: all(', ') },
        { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'f', input: { note: { a: all('; ') } } }] },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: all(' | ') }] },
            { type: 'text', text: all('\n') },
          ],
        },
      ],
      metadata: { user_id: all(' / ') },
      some_future_field: [[all(' * ')]],
    };
    const answer = await gateway.messages(body);
    expect(answer.status).toBe(200);
    expectMasked(gateway.anthropic.last().body, 7);
  });

  test('when it is written in escapes, as a key, or in JSON within JSON', async () => {
    const inner = JSON.stringify({ a: JSON.stringify({ b: VALUES.EMAIL }) });
    const raw =
      `{"model":"gpt-5.4-nano","messages":[{"role":"user","content":"${escaped(VALUES.EMAIL)}"},` +
      `{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":${JSON.stringify(inner)}}}]},` +
      `{"role":"tool","tool_call_id":"c","content":"x"}],"metadata":{"${VALUES.EMAIL}":"k"}}`;
    const answer = await gateway.post('/v1/chat/completions', raw);
    expect(answer.status).toBe(200);
    const { body } = gateway.openai.last();
    const seen = JSON.parse(body.toString());
    expect(JSON.stringify(seen)).not.toContain('jane.doe');
    expect(seen.messages[0].content).toMatch(/^EMAIL_\w{13}$/);
    expect(JSON.parse(JSON.parse(seen.messages[1].tool_calls[0].function.arguments).a).b).toBe(
      seen.messages[0].content,
    );
    expect(Object.keys(seen.metadata)).toEqual([seen.messages[0].content]);
  });

  test('and an API key is taken out without a way back', async () => {
    const secret = ['sk', 'proj', 'A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0'].join('-');
    const answer = await gateway.chat({ messages: [{ role: 'user', content: `my key is ${secret} ok` }] });
    // Refused or removed, as the policy says; it never leaves.
    for (const { body } of gateway.openai.requests) expect(body.toString()).not.toContain(secret);
    expect(await answer.text()).not.toContain(secret);
  });
});

const emailPlaceholder = async (as: 'student' | 'otherStudent', session?: string): Promise<string> => {
  await gateway.chat(
    { messages: [{ role: 'user', content: `Write to ${VALUES.EMAIL}` }] },
    { as, headers: session === undefined ? {} : { 'x-aegis-session': session } },
  );
  return placeholdersIn(gateway.openai.last().body)[0] as string;
};

test('a placeholder is the same throughout a conversation and another in everybody else’s', async () => {
  const first = await emailPlaceholder('student', 's1');
  expect(await emailPlaceholder('student', 's1')).toBe(first);
  const others = [
    await emailPlaceholder('student', 's2'),
    await emailPlaceholder('student'),
    await emailPlaceholder('otherStudent', 's1'),
  ];
  expect(new Set([first, ...others]).size).toBe(4);
});

type Echo = (text: (placeholder: string) => unknown) => void;
/** The upstream answers with what the test makes of the placeholder it was sent. */
const echoJson: Echo = (make) => {
  gateway.openai.play = (request, res) =>
    answerJson(200, make(placeholdersIn(request.body)[0] as string))(request, res);
};
const echoStream = (fake: FakeUpstream, make: (placeholder: string) => (string | Buffer)[]): void => {
  fake.play = (request, res) => answerStream(make(placeholdersIn(request.body)[0] as string))(request, res);
};

const ASK = { messages: [{ role: 'user', content: `Write to ${VALUES.EMAIL}` }] };

/** Its limits let a test ask often. */
const LMS = { as: 'service' } as const;

/** The text of a chat completions stream, its end checked. */
const chatText = async (answer: Response): Promise<string> => {
  const stream = await answer.text();
  expect(stream.endsWith('data: [DONE]\n\n')).toBe(true);
  return stream
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice(6)).choices[0]?.delta.content ?? '')
    .join('');
};

const messageText = async (answer: Response): Promise<string> => {
  const stream = await answer.text();
  expect(stream.endsWith('event: message_stop\ndata: {"type":"message_stop"}\n\n')).toBe(true);
  const events = stream.split('\n\n').filter((event) => event !== '');
  const stop = events.findIndex((event) => event.startsWith('event: content_block_stop'));
  const texts = events.map((event) => {
    const data = JSON.parse(event.slice(event.indexOf('data: ') + 6));
    expect(event.startsWith(`event: ${data.type}\n`)).toBe(true);
    return (data.delta?.text as string | undefined) ?? '';
  });
  expect(texts.slice(stop).join('')).toBe(''); // no text after its block has ended
  return texts.join('');
};

describe('the caller gets its value back', () => {
  test('in an unstreamed answer', async () => {
    echoJson((placeholder) => chatCompletion(`Dear ${placeholder}, "${placeholder}".`));
    const answer = await gateway.chat(ASK, LMS);
    const body = (await answer.json()) as ReturnType<typeof chatCompletion>;
    expect(body.choices[0]?.message.content).toBe(`Dear ${VALUES.EMAIL}, "${VALUES.EMAIL}".`);
    gateway.anthropic.play = (request, res) =>
      answerJson(200, message(`Dear ${placeholdersIn(request.body)[0]}`))(request, res);
    const other = (await (await gateway.messages(ASK, LMS)).json()) as ReturnType<typeof message>;
    expect(other.content[0]?.text).toBe(`Dear ${VALUES.EMAIL}`);
  });

  test('in a chat completions stream, wherever the placeholder is cut in two', async () => {
    const length = `EMAIL_${'0'.repeat(13)}`.length;
    for (let at = 0; at <= length; at++) {
      echoStream(gateway.openai, (p) => chatStream(['Dear ', p.slice(0, at), p.slice(at), ', hello.']));
      expect([at, await chatText(await gateway.chat({ ...ASK, stream: true }, LMS))]).toEqual([
        at,
        `Dear ${VALUES.EMAIL}, hello.`,
      ]);
    }
    echoStream(gateway.openai, (p) => chatStream([...`Dear ${p}`]));
    expect(await chatText(await gateway.chat({ ...ASK, stream: true }, LMS))).toBe(`Dear ${VALUES.EMAIL}`);
  });

  test('in a messages stream, wherever the placeholder is cut in two', async () => {
    const length = `EMAIL_${'0'.repeat(13)}`.length;
    for (let at = 0; at <= length; at++) {
      echoStream(gateway.anthropic, (p) => messageStream(['Dear ', p.slice(0, at), p.slice(at)]));
      const answer = await gateway.messages({ ...ASK, stream: true }, LMS);
      expect([at, await messageText(answer)]).toEqual([at, `Dear ${VALUES.EMAIL}`]);
    }
    echoStream(gateway.anthropic, (p) => messageStream([...`${p} and ${p}`]));
    expect(await messageText(await gateway.messages({ ...ASK, stream: true }, LMS))).toBe(
      `${VALUES.EMAIL} and ${VALUES.EMAIL}`,
    );
  });

  test('in a stream whose bytes are cut anywhere', async () => {
    const length = Buffer.byteLength(chatStream([`Dé ${'EMAIL_'.padEnd(19, '0')} 😀`]).join(''));
    for (let at = 1; at < length; at += 7) {
      echoStream(gateway.openai, (p) => {
        const bytes = Buffer.from(chatStream([`Dé ${p} 😀`]).join(''));
        return [bytes.subarray(0, at), bytes.subarray(at)];
      });
      expect(await chatText(await gateway.chat({ ...ASK, stream: true }, LMS))).toBe(`Dé ${VALUES.EMAIL} 😀`);
    }
  });

  test('and what only looks like the start of a placeholder comes at the end all the same', async () => {
    echoStream(gateway.openai, (p) => chatStream(['The word ', p.slice(0, 9)]));
    expect(await chatText(await gateway.chat({ ...ASK, stream: true }, LMS))).toMatch(/^The word EMAIL_\w{3}$/);
    echoStream(gateway.anthropic, (p) => messageStream(['E', 'MAIL', `_${p.slice(6, 8)}`]));
    expect(await messageText(await gateway.messages({ ...ASK, stream: true }, LMS))).toMatch(/^EMAIL_\w{2}$/);
  });
});

describe('a placeholder stays what it is', () => {
  test('in links, streamed and not', async () => {
    const links = (p: string): string => `[x](https://evil.example/?q=${p}) and https://evil.example/${p} but ${p}`;
    echoJson((placeholder) => chatCompletion(links(placeholder)));
    const body = (await (await gateway.chat(ASK, LMS)).json()) as ReturnType<typeof chatCompletion>;
    const placeholder = placeholdersIn(gateway.openai.last().body)[0] as string;
    const expected = `[x](https://evil.example/?q=${placeholder}) and https://evil.example/${placeholder} but ${VALUES.EMAIL}`;
    expect(body.choices[0]?.message.content).toBe(expected);
    echoStream(gateway.openai, (p) => chatStream([...links(p)]));
    const streamed = await chatText(await gateway.chat({ ...ASK, stream: true }, LMS));
    expect(streamed).toBe(expected);
  });

  test('in tool arguments, streamed and not', async () => {
    const call = (p: string) => ({
      id: 'c',
      type: 'function',
      function: { name: 'f', arguments: JSON.stringify({ to: p }) },
    });
    echoJson((p) => ({
      ...chatCompletion(''),
      choices: [
        { index: 0, message: { role: 'assistant', content: null, tool_calls: [call(p)] }, finish_reason: 'tool_calls' },
      ],
    }));
    const text = await (await gateway.chat(ASK, LMS)).text();
    expect(text).not.toContain(VALUES.EMAIL);
    expect(text).toContain(placeholdersIn(gateway.openai.last().body)[0]);
    const event = (delta: unknown, finish: string | null = null): string =>
      chatEvent({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] });
    echoStream(gateway.openai, (p) => [
      event({
        role: 'assistant',
        content: null,
        tool_calls: [{ index: 0, ...call(''), function: { name: 'f', arguments: '' } }],
      }),
      ...[...`{"to":"${p}"}`].map((character) =>
        event({ tool_calls: [{ index: 0, function: { arguments: character } }] }),
      ),
      event({}, 'tool_calls'),
      chatEvent('[DONE]'),
    ]);
    const streamed = await (await gateway.chat({ ...ASK, stream: true }, LMS)).text();
    expect(streamed).not.toContain('jane.doe');
    echoStream(gateway.anthropic, (p) => [
      messageEvent({ type: 'message_start', message: { ...message(''), content: [] } }),
      messageEvent({
        type: 'content_block_start',
        index: 0,
        content_block: { type: 'tool_use', id: 't', name: 'f', input: {} },
      }),
      ...[...`{"to":"${p}"}`].map((partial_json) =>
        messageEvent({ type: 'content_block_delta', index: 0, delta: { type: 'input_json_delta', partial_json } }),
      ),
      messageEvent({ type: 'content_block_stop', index: 0 }),
      messageEvent({ type: 'message_stop' }),
    ]);
    const other = await (await gateway.messages({ ...ASK, stream: true }, LMS)).text();
    expect(other).not.toContain('jane.doe');
    expect(other).toMatch(/message_stop/);
  });

  test('when the caller typed it: its own of another turn, or somebody else’s', async () => {
    const mine = await emailPlaceholder('student', 'typed');
    const theirs = await emailPlaceholder('otherStudent', 'typed');
    for (const typed of [mine, theirs, `EMAIL_${'A'.repeat(13)}`]) {
      gateway.openai.play = answerJson(200, chatCompletion(`You said ${typed}.`));
      for (const stream of [false, true]) {
        if (stream) gateway.openai.play = answerStream(chatStream(['You said ', typed, '.']));
        const answer = await gateway.chat(
          { messages: [{ role: 'user', content: `${VALUES.EMAIL} ${typed}` }], stream },
          { headers: { 'x-aegis-session': 'typed' } },
        );
        const text = await (stream ? chatText(answer) : answer.text());
        expect(text).toContain(typed);
        expect(text).not.toContain(VALUES.EMAIL);
      }
    }
  });
});

test('what the audit says of a masked request are counts, not values', async () => {
  const answer = await gateway.chat({ messages: [{ role: 'user', content: `${all(', ')} and ${VALUES.EMAIL}` }] });
  const id = answer.headers.get('x-aegis-decision-id');
  const intent = (await gateway.intents()).find((record) => record.id === id)!;
  expect(intent.masked).toEqual({ email: 2, phone: 1, iban: 1, us_ssn: 1, ip: 1 });
  expect((intent.input as { content: { pii: unknown } }).content.pii).toEqual({
    email: 2,
    phone: 1,
    iban: 1,
    us_ssn: 1,
    ip: 1,
  });
});

test('no raw value and no secret is in a log line, an error, the home folder or the health pages', async () => {
  const home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
  const fake = await openFakeUpstream();
  const secret = await (async () => {
    const { db, close } = await openDatabase(home);
    const { secret: made } = await createKey(db, openPepper(home), PEOPLE.student);
    await close();
    return made;
  })();
  const config = await writeConfig(home, [openaiAt(fake), anthropicAt(fake)], { log_level: 'debug' });
  // The config itself holds the provider's key.
  const served = await startServe(['--config', config], {});
  const answers: string[] = [];
  try {
    const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
    const send = async (path: string, body: string, more: Record<string, string> = {}): Promise<void> => {
      const answer = await fetch(served.url + path, { method: 'POST', headers: { ...headers, ...more }, body });
      answers.push(`${JSON.stringify([...answer.headers])}${answer.status < 400 ? '' : await answer.text()}`);
      if (answer.status < 400) await answer.arrayBuffer();
    };
    const text = all(', ');
    const chat = (more: object = {}): string =>
      JSON.stringify({ model: 'gpt-5.4-nano', messages: [{ role: 'user', content: text }], ...more });
    const messages = (more: object = {}): string =>
      JSON.stringify({
        model: 'claude-haiku-5-5',
        max_tokens: 9,
        messages: [{ role: 'user', content: text }],
        ...more,
      });
    for (const [play, streams] of [
      [answerJson(200, chatCompletion(text)), false],
      [answerStream(chatStream([text])), true],
      [answerStream(chatStream([text], { done: false })), true],
      [answerJson(500, { error: { message: text } }), false],
      [answerJson(401, { error: { message: text } }), false],
      [answerJson(200, `not json ${text}`), false],
      [answerStream([`data: not json ${text}\n\n`, chatEvent('[DONE]')]), true],
    ] as const) {
      fake.play = play;
      await send('/v1/chat/completions', chat({ stream: streams }));
      await send('/v1/messages', messages({ stream: streams }));
    }
    for (const path of ['/v1/chat/completions', '/v1/messages']) {
      await send(path, `{"model": "gpt-5.4-nano", ${text}`);
      await send(path, chat({ temperature: text }));
      await send(path, chat({ stream: text, messages: text }));
      await send(path, `{"a":"${text}","a":"${text}"}`);
      await send(path, chat({ card: '4242 4242 4242 4242' }));
      await send(path, chat(), { authorization: `Bearer ${VALUES.EMAIL}` });
      await send(path, chat(), { 'x-api-key': secret });
    }
    for (const page of ['/healthz', '/readyz', '/metrics'])
      answers.push(await (await fetch(served.adminUrl + page)).text());
  } finally {
    await served.stop('SIGTERM');
    await fake.close();
  }
  const kept: [string, string][] = [
    ['stderr', served.stderr()],
    ['stdout', served.stdout()],
    ...answers.map((answer): [string, string] => ['an answer', answer]),
  ];
  for (const name of readdirSync(home, { recursive: true, encoding: 'utf8' })) {
    if (name === 'aegis.yaml') continue;
    try {
      kept.push([name, readFileSync(join(home, name), 'latin1')]);
    } catch {} // a folder
  }
  expect(kept.map(([name]) => name).join()).toMatch(/aegis\.db.*/);
  expect(kept.some(([name, content]) => name.startsWith('audit') && content.includes('"outcome"'))).toBe(true);
  const canaries = [...Object.values(VALUES), '4242 4242 4242 4242', '4242424242424242', secret, PROVIDER_KEY];
  for (const [name, content] of kept) {
    for (const canary of canaries)
      expect({ name, canary, found: content.includes(canary) }).toMatchObject({ found: false });
  }
  await rm(home, { recursive: true, force: true });
});
