import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { GatewayError } from '../../../gateway/errors.ts';
import { Exchange } from '../../../gateway/exchange.ts';
import type { Gateway } from '../../../gateway/gateway.ts';
import type { Answer, AnswerSink } from '../../../gateway/stages/forward.ts';
import { newIds } from '../../../gateway/stages/ids.ts';
import { relayStream } from '../../../gateway/stages/relay-stream.ts';
import type { Decision } from '../../../gateway/types.gen.ts';
import { chatEvent } from '../../support/answers.ts';
import { callOf } from '../../support/calls.ts';
import { NO_TELEMETRY } from '../../support/no-telemetry.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

const CHUNK = Buffer.from(chatEvent({ choices: [{ index: 0, delta: { content: 'Hello' } }] }));

/** A relay whose caller takes nothing until it drains, and whose audit takes pieces when it is told to. */
const relay = () => {
  const pieces: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  const openContent = () => ({
    write: () => new Promise<void>((resolve, reject) => pieces.push({ resolve, reject })),
    discard: () => {},
  });
  let isReading = false;
  const res = Object.assign(new EventEmitter(), {
    destroyed: false,
    writeHead: () => {},
    flushHeaders: () => {},
    write: () => isReading,
    end: (bytes?: Buffer | string) => ended.push(String(bytes)),
    destroy: () => {
      res.destroyed = true;
    },
  });
  const calls: string[] = [];
  const ended: string[] = [];
  const flow = {
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    abort: () => calls.push('abort'),
  };
  let sink!: AnswerSink;
  const candidate = { model: 'm', wire: 'chat.completions', translation: null, maxOutputTokens: 1_000_000 };
  const deliver = (to: AnswerSink): AnswerSink => (sink = to);
  const answer = { status: 200, headers: {}, stream: true, candidate, flow, deliver };
  const append = async (): Promise<null> => null;
  const log = { error: () => {}, warn: () => {} };
  const gateway = {
    limits: { responseBytes: 10_000_000 },
    audit: { openContent, append },
    strangers: { record: () => true },
    telemetry: NO_TELEMETRY,
    log,
  } as unknown as Gateway;
  const call = callOf('chat.completions', { model: 'm', stream: true, messages: [{ role: 'user', content: 'Hi' }] });
  const x = new Exchange(newIds(), '');
  x.keep('decision', { rate: { tier: 't' }, audit: { content: 'redacted', retention_days: 1 } } as Decision);
  void relayStream(gateway, x, call, answer as unknown as Answer, res as unknown as ServerResponse, {});
  return {
    res,
    calls,
    ended,
    pieces,
    read: () => {
      isReading = true;
      res.emit('drain');
    },
    data: (chunk = CHUNK) => sink.data(chunk),
  };
};

describe('a caller that does not read', () => {
  test('pauses its upstream once, however much was on its way, and has one listener', () => {
    const { res, calls, data } = relay();
    for (let chunk = 0; chunk < 50; chunk++) data();
    expect(calls).toEqual(['pause']);
    expect(res.listenerCount('drain')).toBe(1);
    res.emit('drain');
    expect(calls).toEqual(['pause', 'resume']);
    data();
    expect(calls).toEqual(['pause', 'resume', 'pause']);
    expect(res.listenerCount('drain')).toBe(1);
  });

  test('is cut off after a minute', () => {
    const { res, data } = relay();
    data();
    jest.advanceTimersByTime(59_000);
    expect(res.destroyed).toBe(false);
    jest.advanceTimersByTime(2_000);
    expect(res.destroyed).toBe(true);
  });

  test('and then does is not', () => {
    const { res, data } = relay();
    data();
    jest.advanceTimersByTime(59_000);
    res.emit('drain');
    jest.advanceTimersByTime(120_000);
    expect(res.destroyed).toBe(false);
  });
});

describe('an audit whose disk lags', () => {
  const LARGE = Buffer.from(chatEvent({ choices: [{ index: 0, delta: { content: 'x'.repeat(300 * 1024) } }] }));
  const turn = async (): Promise<void> => {
    for (let step = 0; step < 10; step++) await undefined;
  };

  test('pauses the upstream when a second piece is full, until it has taken the first', async () => {
    const { calls, pieces, read, data } = relay();
    read();
    data(LARGE);
    expect([calls, pieces.length]).toEqual([[], 1]);
    data(LARGE);
    expect([calls, pieces.length]).toEqual([['pause'], 1]);
    pieces[0]?.resolve();
    await turn();
    expect([calls, pieces.length]).toEqual([['pause', 'resume'], 2]);
  });

  test('and a caller that does not read: the upstream goes on when both have caught up, whoever is last', async () => {
    for (const isDiskLast of [true, false]) {
      const { calls, pieces, read, data } = relay();
      data(LARGE);
      data(LARGE);
      expect(calls).toEqual(['pause', 'pause']);
      if (isDiskLast) read();
      else pieces[0]?.resolve();
      await turn();
      expect(calls).toEqual(['pause', 'pause']);
      if (isDiskLast) pieces[0]?.resolve();
      else read();
      await turn();
      expect(calls).toEqual(['pause', 'pause', 'resume']);
    }
  });

  test('and then refuses breaks the stream with an error', async () => {
    const { calls, pieces, ended, read, data } = relay();
    read();
    data(LARGE);
    pieces[0]?.reject(new GatewayError('audit_unavailable', 'the audit disk is full'));
    await turn();
    expect(calls).toEqual(['abort']);
    expect(ended).toEqual([expect.stringContaining('"code":"audit_unavailable"')]);
    expect(ended[0]).not.toContain('[DONE]');
  });
});
