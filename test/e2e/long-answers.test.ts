import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { request, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AuditLog } from '../../gateway/audit/audit-log.ts';
import { ContentReader } from '../../gateway/audit/content.ts';
import { auditLayout } from '../../gateway/audit/layout.ts';
import { verifyAudit } from '../../gateway/audit/verify.ts';
import { GatewayError } from '../../gateway/errors.ts';
import { openDatabase } from '../../gateway/store/database.ts';
import { createKey } from '../../gateway/store/keys.ts';
import { openPepper } from '../../gateway/store/pepper.ts';
import type { AuditOutcome, ContentRef } from '../../gateway/types.gen.ts';
import { chatStream, messageStream } from '../support/answers.ts';
import { breakStream, openFakeUpstream, type Play } from '../support/fake-upstream.ts';
import { openaiAt, openTestGateway, PEOPLE, type TestGateway } from '../support/gateway.ts';
import { startServe, writeConfig } from '../support/serve.ts';

const MIB = 1024 * 1024;
/** Texts that make a stream of about so many bytes, and of few tokens: an answer is held to its output cap. */
const textsOf = (bytes: number): string[] => Array.from({ length: Math.ceil(bytes / 1000) }, () => ' '.repeat(900));

/** Plays a stream as fast as it is taken. */
const playAll =
  (chunks: readonly (string | Buffer)[]): Play =>
  async (_request, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const chunk of chunks) {
      if (res.destroyed) return;
      if (!res.write(chunk)) await goesOn(res);
    }
    res.end();
  };

/** Until more can be written, or nothing can any more. */
const goesOn = (res: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const go = (): void => {
      res.off('drain', go).off('close', go);
      resolve();
    };
    res.on('drain', go).on('close', go);
  });

const contentOf = async (home: string, content: ContentRef): Promise<string | undefined> => {
  const reader = new ContentReader(auditLayout(home));
  try {
    return content ? (await reader.decrypt(content))?.toString('utf8') : undefined;
  } finally {
    await reader.close();
  }
};

describe('a long streamed answer', () => {
  let gateway: TestGateway;
  beforeAll(async () => {
    gateway = await openTestGateway();
  });
  afterAll(() => gateway.close());

  const kept = async (outcome: AuditOutcome): Promise<string | undefined> => contentOf(gateway.home, outcome.content);

  test('arrives whole and is kept whole, in pieces', async () => {
    const stream = chatStream(textsOf(3 * MIB));
    gateway.openai.play = playAll(stream);
    const answer = await gateway.chat({ stream: true, stream_options: { include_usage: true } }, { as: 'service' });
    expect((await answer.text()) === stream.join('')).toBe(true);
    const outcome = await gateway.outcomeOf(answer);
    expect(outcome).toMatchObject({ outcome: 'ok', usage: { source: 'provider' } });
    expect(outcome.content?.parts?.length).toBeGreaterThan(8);
    expect((await kept(outcome)) === stream.join('')).toBe(true);
    expect(await verifyAudit(gateway.home)).toMatchObject({ ok: true });
  });

  test('is kept with its placeholders where the caller gets the values', async () => {
    let placeholder = '';
    gateway.openai.play = (request, res) => {
      placeholder = /EMAIL_[0-9A-HJKMNP-TV-Z]{13}/.exec(request.body.toString())?.[0] ?? '';
      return playAll(chatStream([`Mail ${placeholder}. `, ...textsOf(MIB), ` Again: ${placeholder}.`]))(request, res);
    };
    const messages = [{ role: 'user', content: 'Who is jane.doe@school.example?' }];
    const answer = await gateway.chat({ stream: true, messages }, { as: 'service' });
    const text = await answer.text();
    expect(placeholder).not.toBe('');
    expect(text.match(/jane\.doe@school\.example/g)).toHaveLength(2);
    const content = (await kept(await gateway.outcomeOf(answer))) ?? '';
    expect(content).not.toContain('jane.doe');
    expect(content.split(placeholder)).toHaveLength(3);
    expect(content.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  test('that breaks off is kept as far as it came, and charged by an estimate of all of it', async () => {
    const stream = messageStream(Array.from({ length: 5000 }, () => ' fox')).slice(0, -3);
    gateway.anthropic.play = breakStream(stream, 'end');
    const answer = await gateway.messages({ stream: true, max_tokens: 8000 }, { as: 'service' });
    expect(await answer.text()).toContain('event: error');
    const outcome = await gateway.outcomeOf(answer);
    expect(outcome).toMatchObject({ outcome: 'incomplete', error: 'upstream_error' });
    expect((await kept(outcome)) === stream.join('')).toBe(true);
    expect(outcome.content?.parts).toBeDefined();
    expect(outcome.usage?.output).toBeGreaterThan(4500);
    expect(outcome.usage?.output).toBeLessThan(6000);
  });

  test('of which the audit refuses a piece ends with an error, and has its outcome all the same', async () => {
    const parts = gateway.running.gateway as { audit: AuditLog };
    const { audit } = parts;
    parts.audit = new Proxy(audit, {
      get: (target, name) => {
        if (name === 'openContent') {
          return (retentionDays: number) => ({
            ...target.openContent(retentionDays),
            write: () => Promise.reject(new GatewayError('audit_unavailable', 'The audit disk is full.')),
            discard: () => {},
          });
        }
        const value = target[name as keyof AuditLog] as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
    try {
      gateway.openai.play = playAll(chatStream(textsOf(4 * MIB)));
      const answer = await gateway.chat({ stream: true }, { as: 'service' });
      const text = await answer.text();
      expect(text).toContain('"code":"audit_unavailable"');
      expect(text).not.toContain('[DONE]');
      expect(await gateway.outcomeOf(answer)).toMatchObject({
        outcome: 'incomplete',
        error: 'audit_unavailable',
        content: null,
      });
    } finally {
      parts.audit = audit;
    }
  });
});

const STREAMS = 50;
/** Longer than what is held of an answer, so that all that a stream takes is taken; and five times as long. */
const SHORT_BYTES = MIB;
const LONG_BYTES = 5 * MIB;
/**
 * What the longer streams have more. Held until their end, as answers once were, they took two to three times as much;
 * what is left is what the collector has not freed yet, which levels off.
 */
const GROWTH_BYTES = STREAMS * (LONG_BYTES - SHORT_BYTES);

const residentBytes = async (pid: number): Promise<number> =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

/** Reads a stream a little at a time; gives how many bytes came, and its end. */
const readSlowly = (url: string, secret: string): Promise<{ bytes: number; end: string }> =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify({
      model: 'gpt-5.4-nano',
      stream: true,
      max_tokens: 4000,
      messages: [{ role: 'user', content: 'Hi' }],
    });
    const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
    const req = request(`${url}/v1/chat/completions`, { method: 'POST', headers, agent: false }, async (res) => {
      let bytes = 0;
      let end = Buffer.alloc(0);
      try {
        for await (const chunk of res as AsyncIterable<Buffer>) {
          bytes += chunk.length;
          end = Buffer.concat([end, chunk]).subarray(-200);
          await sleep(5);
        }
        resolve({ bytes, end: `${res.statusCode} ${end.toString()}` });
      } catch (error) {
        reject(error);
      }
    });
    req.on('error', reject).end(body);
  });

test(`${STREAMS} streams of ${LONG_BYTES / MIB} MiB to slow readers take hardly more memory than as many of ${SHORT_BYTES / MIB} MiB`, async () => {
  const home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
  const openai = await openFakeUpstream();
  const { db, close } = await openDatabase(home);
  const secrets = await Promise.all(
    Array.from({ length: STREAMS }, async (_, number) => {
      const { secret } = await createKey(db, openPepper(home), { ...PEOPLE.service, user: `user-${number}` });
      return secret;
    }),
  );
  await close();
  const config = await writeConfig(home, [openaiAt(openai)], { log_level: 'silent' });
  const served = await startServe(['--config', config], {});
  try {
    const pid = served.process.pid as number;
    /** The most memory while all streams are read, and how many bytes came. */
    const run = async (streamBytes: number): Promise<{ resident: number; bytes: number }> => {
      openai.play = playAll(chatStream(textsOf(streamBytes)));
      let resident = 0;
      let isOver = false;
      const watch = (async () => {
        while (!isOver) {
          resident = Math.max(resident, await residentBytes(pid));
          await sleep(20);
        }
      })();
      const answers = await Promise.all(secrets.map((secret) => readSlowly(served.url, secret)));
      isOver = true;
      await watch;
      for (const { end } of answers) expect(end).toMatch(/^200 [\s\S]*data: \[DONE\]\n\n$/);
      return { resident, bytes: answers.reduce((sum, { bytes }) => sum + bytes, 0) };
    };
    const short = await run(SHORT_BYTES);
    const long = await run(LONG_BYTES);
    expect(long.bytes).toBeGreaterThan(STREAMS * LONG_BYTES);
    const growth = long.resident - short.resident;
    process.stdout.write(
      `memory: ${Math.round(short.resident / MIB)} MiB for ${STREAMS} streams of 1 MiB, ${Math.round(growth / MIB)} MiB more for ${STREAMS} of 5 MiB\n`,
    );
    expect(growth).toBeLessThan(GROWTH_BYTES);
    expect(await served.stop('SIGTERM')).toBe(0);
    expect(await verifyAudit(home)).toMatchObject({ ok: true, openIntents: [] });
  } finally {
    await served.stop('SIGKILL');
    await openai.close();
    await rm(home, { recursive: true, force: true });
  }
}, 120_000);
