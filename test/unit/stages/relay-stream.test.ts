import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Exchange } from '../../../gateway/exchange.ts';
import type { Gateway } from '../../../gateway/gateway.ts';
import type { Answer, AnswerSink } from '../../../gateway/stages/forward.ts';
import { newIds } from '../../../gateway/stages/ids.ts';
import { relayStream } from '../../../gateway/stages/relay-stream.ts';
import { chatEvent } from '../../support/answers.ts';
import { callOf } from '../../support/calls.ts';

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  jest.useRealTimers();
});

const CHUNK = Buffer.from(chatEvent({ choices: [{ index: 0, delta: { content: 'Hello' } }] }));

/** A relay whose caller takes nothing until it drains. */
const relay = () => {
  const res = Object.assign(new EventEmitter(), {
    destroyed: false,
    writeHead: () => {},
    flushHeaders: () => {},
    write: () => false,
    end: () => {},
    destroy: () => {
      res.destroyed = true;
    },
  });
  const calls: string[] = [];
  const flow = {
    pause: () => calls.push('pause'),
    resume: () => calls.push('resume'),
    abort: () => calls.push('abort'),
  };
  let sink!: AnswerSink;
  const candidate = { model: 'm', wire: 'chat.completions', translation: null, maxOutputTokens: 100 };
  const deliver = (to: AnswerSink): AnswerSink => (sink = to);
  const answer = { status: 200, headers: {}, stream: true, candidate, flow, deliver };
  const gateway = { limits: { responseBytes: 1_000_000 } } as unknown as Gateway;
  const call = callOf('chat.completions', { model: 'm', stream: true, messages: [{ role: 'user', content: 'Hi' }] });
  const x = new Exchange(newIds(), '');
  void relayStream(gateway, x, call, answer as unknown as Answer, res as unknown as ServerResponse, {});
  return { res, calls, data: () => sink.data(CHUNK) };
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
