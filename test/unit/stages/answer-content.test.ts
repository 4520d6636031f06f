import { describe, expect, test } from '@jest/globals';
import type { ContentDraft } from '../../../gateway/audit/audit-log.ts';
import { GatewayError } from '../../../gateway/errors.ts';
import { protocolOf } from '../../../gateway/protocol/protocols.ts';
import { AnswerContent, HELD_BYTES } from '../../../gateway/stages/answer-content.ts';
import { estimateTokens } from '../../../gateway/tokens.ts';
import type { Decision } from '../../../gateway/types.gen.ts';
import { chatEvent, messageStream } from '../../support/answers.ts';

const KIB = 1024;

/** A disk that takes a piece when it is told to, and what it was given. */
const slowDisk = () => {
  const pieces: Buffer[] = [];
  const waiting: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  const state = { opened: [] as number[], discarded: 0 };
  const openContent = (retentionDays: number): ContentDraft => {
    state.opened.push(retentionDays);
    return {
      retentionDays,
      bytes: 0,
      write(chunks) {
        pieces.push(Buffer.concat(chunks));
        return new Promise((resolve, reject) => waiting.push({ resolve, reject }));
      },
      settle: async () => [],
      discard: () => {
        state.discarded += 1;
      },
    };
  };
  return { openContent, pieces, waiting, state };
};

const collect = (
  content: Decision['audit']['content'],
  { isChanged = false, wire = 'chat.completions' as const } = {},
) => {
  const disk = slowDisk();
  const told: string[] = [];
  const answer = new AnswerContent({
    audit: disk,
    keep: { content, retention_days: 30 },
    wire: protocolOf(wire),
    isChanged,
    listener: {
      lags: () => told.push('lags'),
      caughtUp: () => told.push('caught up'),
      failed: (error) => told.push(String((error as GatewayError).code)),
    },
  });
  return { answer, told, ...disk };
};

/** The disk takes the piece that waits longest. */
const take = async (waiting: ReturnType<typeof slowDisk>['waiting']): Promise<void> => {
  waiting.shift()?.resolve();
  await new Promise((resolve) => setImmediate(resolve));
};

const event = (text: string): Buffer => Buffer.from(chatEvent({ choices: [{ index: 0, delta: { content: text } }] }));
const WORDS = 'The quick brown fox jumps over the lazy dog. ';
/** Events of 4 KiB of text each. */
const events = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, number) => event(`${number} ${WORDS.repeat(90)}`));

const wholeOf = (pieces: readonly Buffer[], chunks: readonly Uint8Array[] | undefined): string =>
  Buffer.concat([...pieces, ...(chunks ?? [])]).toString();

describe('an answer of up to 256 KiB', () => {
  test.each(['full', 'redacted'] as const)('is held as it came, and nothing is written (%s)', (mode) => {
    const { answer, state } = collect(mode);
    const received = events(60);
    for (const bytes of received) answer.receive(bytes);
    expect(answer.finish()).toEqual({ chunks: received, retentionDays: 30 });
    expect(state.opened).toEqual([]);
  });

  test('is kept as it was sent (full), as it was received (redacted), or not at all (none)', () => {
    for (const [mode, chunks] of [
      ['full', ['sent']],
      ['redacted', ['received']],
      ['none', undefined],
    ] as const) {
      const { answer } = collect(mode, { isChanged: true });
      answer.receive(Buffer.from('received'));
      answer.send(Buffer.from('sent'));
      expect(answer.finish()?.chunks.map(String)).toEqual(chunks);
    }
  });

  test('without a decision nothing is kept', () => {
    const { listener, ...rest } = { listener: { lags() {}, caughtUp() {}, failed() {} }, isChanged: false };
    const answer = new AnswerContent({
      ...rest,
      listener,
      audit: slowDisk(),
      keep: undefined,
      wire: protocolOf('chat.completions'),
    });
    answer.receive(event('Hello'));
    expect(answer.finish()).toBeUndefined();
    expect(answer.estimateOutput()).toBe(estimateTokens('Hello'));
  });
});

describe('a longer answer', () => {
  test('goes to the disk in pieces of whole events, and what is left comes with its record', async () => {
    const { answer, pieces, waiting, told, state } = collect('redacted');
    const received = events(300);
    for (const bytes of received) {
      answer.receive(bytes);
      await take(waiting);
    }
    const content = answer.finish();
    expect(content?.draft).toBeDefined();
    expect(state.opened).toEqual([30]);
    expect(wholeOf(pieces, content?.chunks)).toBe(wholeOf(received, []));
    expect(pieces.length).toBeGreaterThan(3);
    for (const piece of pieces) {
      expect(piece.length).toBeGreaterThan(HELD_BYTES);
      expect(piece.length).toBeLessThan(HELD_BYTES + 5 * KIB);
    }
    expect(told).toEqual([]);
  });

  test('is written as it was sent when that is kept, whatever was held back before', async () => {
    const { answer, pieces, waiting } = collect('full', { isChanged: true });
    const sent: Buffer[] = [];
    const send = (text: string): void => {
      sent.push(Buffer.from(text));
      answer.send(sent.at(-1) as Buffer);
    };
    // All of it comes before any of it goes.
    for (const bytes of events(100)) {
      answer.receive(bytes);
      await take(waiting);
    }
    expect(pieces).toEqual([]);
    for (let number = 0; number < 100; number++) {
      answer.receive(event('x'.repeat(4 * KIB)));
      send(`restored ${number} `.repeat(400));
      await take(waiting);
    }
    expect(pieces.length).toBeGreaterThan(1);
    expect(wholeOf(pieces, answer.finish()?.chunks)).toBe(wholeOf(sent, []));
  });

  test('of which nothing is kept is only counted and let go of', () => {
    const { answer, state, told } = collect('none', { isChanged: true });
    for (const bytes of events(300)) {
      answer.receive(bytes);
      answer.send(bytes);
    }
    expect([state.opened, told, answer.finish()]).toEqual([[], [], undefined]);
    expect(answer.estimateOutput()).toBeGreaterThan(300 * 500);
  });

  test('waits when the disk has not taken a piece before the next one is full, loses nothing of what comes meanwhile, and goes on', async () => {
    const { answer, pieces, waiting, told } = collect('redacted');
    const received = events(200);
    for (const bytes of received.slice(0, 64)) answer.receive(bytes);
    expect([pieces.length, told]).toEqual([1, []]);
    for (const bytes of received.slice(64, 140)) answer.receive(bytes);
    expect([pieces.length, told]).toEqual([1, ['lags']]);
    await take(waiting);
    // The second piece, with all that came meanwhile, is on its way: that is one piece again.
    expect([pieces.length, told]).toEqual([2, ['lags', 'caught up']]);
    for (const bytes of received.slice(140)) answer.receive(bytes);
    await take(waiting);
    expect(wholeOf(pieces, answer.finish()?.chunks)).toBe(wholeOf(received, []));
    expect(told).toEqual(['lags', 'caught up']);
  });

  test('whose piece was refused says so once, keeps nothing, and is still counted', async () => {
    const { answer, waiting, told, state, pieces } = collect('redacted');
    const received = events(400);
    for (const bytes of received.slice(0, 64)) answer.receive(bytes);
    waiting.shift()?.reject(new GatewayError('audit_unavailable', 'the audit disk is full'));
    await new Promise((resolve) => setImmediate(resolve));
    expect([told, state.discarded]).toEqual([['audit_unavailable'], 1]);
    for (const bytes of received.slice(64)) answer.receive(bytes);
    expect([pieces.length, told.length]).toEqual([1, 1]);
    expect(answer.finish()).toBeUndefined();
    expect(answer.estimateOutput()).toBeGreaterThan(400 * 500);
  });
});

describe('the estimate of an answer', () => {
  test('of a short one is that of its texts together, asked for as often as one likes', () => {
    const { answer } = collect('none');
    for (const bytes of events(20)) answer.receive(bytes);
    const texts = events(20).map((_, number) => `${number} ${WORDS.repeat(90)}`);
    const estimate = texts.reduce((sum, text) => sum + estimateTokens(text), 0);
    expect(answer.estimateOutput()).toBe(estimate);
    expect(answer.estimateOutput()).toBe(estimate);
  });

  test('of a long one is near the sum of all its texts, read in full', async () => {
    const { answer, waiting } = collect('redacted');
    const words = WORDS.trim().split(' ');
    const texts = Array.from({ length: 20_000 }, (_, number) =>
      Array.from(
        { length: 1 + ((number * 7919) % 5) },
        (_, at) => `${words[(number * 31 + at * 17) % words.length]} `,
      ).join(''),
    );
    for (const text of texts) {
      answer.receive(event(text));
      if (waiting.length > 0) await take(waiting);
    }
    // Of so few characters every one is read.
    let whole = 0;
    for (let at = 0; at < texts.length; at += 50) whole += estimateTokens(texts.slice(at, at + 50));
    expect(Math.abs(answer.estimateOutput() - whole) / whole).toBeLessThan(0.01);
  });

  test('reads the events of any wire format, also of one that ends in the middle of a text', async () => {
    const { answer, waiting } = collect('redacted', { wire: 'messages' as never });
    const pieces = Array.from({ length: 3000 }, (_, number) => `${number} ${WORDS.repeat(4)}`);
    const stream = messageStream(pieces);
    for (const bytes of stream.slice(0, -2)) {
      answer.receive(Buffer.from(bytes));
      if (waiting.length > 0) await take(waiting);
    }
    const whole = estimateTokens(pieces);
    expect(Math.abs(answer.estimateOutput() - whole) / whole).toBeLessThan(0.05);
  });
});

describe('an event that no estimate can be made of', () => {
  test('is a matter of the estimate alone: the answer goes on and is kept', async () => {
    const wire = protocolOf('chat.completions');
    const broken = {
      ...wire,
      answerEvents: () => ({
        ...wire.answerEvents(),
        read: () => {
          throw new TypeError('unreadable');
        },
      }),
    };
    const disk = slowDisk();
    const listener = { lags() {}, caughtUp() {}, failed() {} };
    const keep = { content: 'redacted', retention_days: 30 } as const;
    const answer = new AnswerContent({ audit: disk, keep, wire: broken, isChanged: false, listener });
    const received = events(150);
    for (const bytes of received) {
      answer.receive(bytes);
      await take(disk.waiting);
    }
    expect(() => answer.estimateOutput()).toThrow('unreadable');
    expect(wholeOf(disk.pieces, answer.finish()?.chunks)).toBe(wholeOf(received, []));
  });
});

describe('the last events of an answer', () => {
  test('are there though they were let go of, if they tell of an error, and hold no memory if not', async () => {
    const { answer, waiting } = collect('redacted');
    const failed = Buffer.from(chatEvent({ error: { message: 'overloaded' } }));
    for (const bytes of events(62)) answer.receive(bytes);
    answer.receive(failed);
    answer.receive(event('y'.repeat(HELD_BYTES)));
    await take(waiting);
    expect(answer.recent).toEqual([failed, Buffer.alloc(0)]);
    answer.receive(event('on'));
    expect(answer.recent).toEqual([Buffer.alloc(0), event('on')]);
    answer.receive(event('and on'));
    expect(answer.recent).toEqual([event('on'), event('and on')]);
  });
});
