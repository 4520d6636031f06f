import { describe, expect, test } from '@jest/globals';
import { isGatewayError } from '../../../gateway/errors.ts';
import { protocolOf } from '../../../gateway/protocol/protocols.ts';
import { createSseSplitter, eventData, splitEvents } from '../../../gateway/protocol/sse.ts';

const pushAll = (...chunks: string[]): string[] => {
  const splitter = createSseSplitter({ maxEventBytes: 1000 });
  return [...chunks.map((chunk) => splitter.push(Buffer.from(chunk)).toString()), splitter.end().toString()];
};

describe('createSseSplitter', () => {
  test('a chunk of whole events is the same buffer', () => {
    const chunk = Buffer.from('data: 1\n\ndata: 2\n\n');
    expect(createSseSplitter({ maxEventBytes: 10 }).push(chunk)).toBe(chunk);
  });

  test('an event is held until its blank line', () => {
    expect(pushAll('data: 1\n\nda', 'ta: 2\n', '\ndata: 3')).toEqual(['data: 1\n\n', '', 'data: 2\n\n', 'data: 3']);
  });

  test.each(['\n\n', '\r\n\r\n', '\r\r', '\n\r\n', '\r\n\n'])('%j ends an event', (end) => {
    expect(pushAll(`data: 1${end}data: 2`)).toEqual([`data: 1${end}`, 'data: 2']);
    expect(pushAll(`data: 1${end.slice(0, -1)}`, `${end.slice(-1)}data: 2`).join('|')).toMatch(/^\|?data: 1/);
  });

  test('one line end ends no event', () => {
    for (const end of ['\n', '\r\n', '\r']) expect(pushAll(`data: 1${end}data: 2${end}`)[0]).toBe('');
  });

  test('comments pass', () => expect(pushAll(': ping\n\n')).toEqual([': ping\n\n', '']));

  test('what is held is bounded', () => {
    const splitter = createSseSplitter({ maxEventBytes: 10 });
    splitter.push(Buffer.from('data: 1'));
    expect(splitter.held).toBe(7);
    let caught: unknown;
    try {
      splitter.push(Buffer.from('2345'));
    } catch (error) {
      caught = error;
    }
    expect(isGatewayError(caught) && caught.code).toBe('upstream_error');
  });
});

describe('events', () => {
  test('whole events are split into one buffer each', () => {
    const text = 'event: a\ndata: 1\n\n: c\r\n\r\ndata: 2\r\rdata: 3';
    const events = splitEvents(Buffer.from(text)).map(String);
    expect(events).toEqual(['event: a\ndata: 1\n\n', ': c\r\n\r\n', 'data: 2\r\r', 'data: 3']);
  });

  test('an event gives its name and its joined data', () => {
    expect(eventData(Buffer.from('event: x\ndata: a\ndata:b\nid: 1\n\n'))).toEqual({ event: 'x', data: 'a\nb' });
    expect(eventData(Buffer.from(': only a comment\n\n'))).toEqual({ event: null, data: null });
    expect(eventData(Buffer.from('data\r\n\r\n'))).toEqual({ event: null, data: '' });
  });

  test('the terminal event is found as a line, not in a text that says it', () => {
    const chat = protocolOf('chat.completions');
    const said = 'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n';
    expect(chat.terminalAt(Buffer.from(said))).toBe(-1);
    expect(chat.terminalAt(Buffer.from(`${said}data: [DONE]\n\n`))).toBe(Buffer.byteLength(said));
    expect(chat.terminalAt(Buffer.from('data:[DONE]\r\n\r\n'))).toBe(0);
    expect(chat.terminalAt(Buffer.from('data: [DONE]'))).toBe(0);
    const messages = protocolOf('messages');
    expect(messages.terminalAt(Buffer.from('event: ping\ndata: {}\n\nevent: message_stop\ndata: {}\n\n'))).toBe(22);
    expect(messages.terminalAt(Buffer.from('event: message_stopped\n\n'))).toBe(-1);
  });
});
