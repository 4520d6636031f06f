import { describe, expect, test } from '@jest/globals';
import { type AskedThread, openAskedThread } from '../../gateway/asked-thread.ts';

const CODE = `
import { parentPort, threadId, workerData } from 'node:worker_threads';
const held = [];
parentPort.on('message', (question) => {
  if (question === 'die') throw new Error('it died');
  if (question === 'fill') for (;;) held.push(new Array(1e5).fill({}));
  if (question !== 'hang') parentPort.postMessage({ question, threadId, workerData });
});`;

const withThread = async (use: (thread: AskedThread<string, { threadId: number }>) => Promise<void>): Promise<void> => {
  const thread = openAskedThread<string, { threadId: number }>({
    entry: new URL(`data:text/javascript,${encodeURIComponent(CODE)}`),
    name: 'test',
    data: 'some',
    limits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 8 },
    timeoutMs: 5_000,
    mostWaiting: 3,
  });
  try {
    await use(thread);
  } finally {
    await thread.close();
  }
};
const troubleOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'none',
    ({ trouble }: { trouble?: unknown }) => trouble,
  );

describe('a thread that is asked', () => {
  test('replies to one question after the other, and stays the same thread', () =>
    withThread(async (thread) => {
      const [one, two] = await Promise.all([thread.ask('one'), thread.ask('two')]);
      expect(one).toMatchObject({ question: 'one', workerData: 'some' });
      expect(two).toMatchObject({ question: 'two', threadId: one.threadId });
    }));

  test.each([
    ['die', 'died'],
    ['fill', 'out_of_memory'],
    ['hang', 'slow'],
  ])(
    'that gets %j gives the trouble %j, and the next question has its own reply',
    (question, trouble) =>
      withThread(async (thread) => {
        const [bad, good] = [troubleOf(thread.ask(question)), thread.ask('next')];
        expect(await bad).toBe(trouble);
        expect(await good).toMatchObject({ question: 'next' });
      }),
    30_000,
  );

  test('lets no more than some wait, and takes others when those have their replies', () =>
    withThread(async (thread) => {
      const asked = ['one', 'two', 'three'].map((question) => thread.ask(question));
      expect(await troubleOf(thread.ask('four'))).toBe('busy');
      await Promise.all(asked);
      expect(await thread.ask('five')).toMatchObject({ question: 'five' });
    }));

  test('is not started any more once it is closed', () =>
    withThread(async (thread) => {
      await thread.ask('one');
      await thread.close();
      expect(await troubleOf(thread.ask('two'))).toBe('closed');
    }));
});
