import { rename, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createHttpOrigin, type HttpTimeouts } from '../../gateway/policy/http-origin.ts';
import type { BundleOrigin } from '../../gateway/policy/origin.ts';
import { type FollowedSource, openPolicySource, type PolicyEvent } from '../../gateway/policy/source.ts';
import { type Forgery, makeForgery } from '../support/bundle-forgery.ts';
import { type FileServer, openFileServer } from '../support/file-server.ts';
import { withFolder } from '../support/policy-fixture.ts';
import { openRawServer } from '../support/raw-server.ts';
import { rejectionOf } from '../support/rejection.ts';

const LIMIT = 1_000;
const NEVER_MS = 3_600_000;

interface Given {
  folder: string;
  server: FileServer;
  /** Of a path of the server; '' is its folder. */
  origin(path?: string, more?: { token?: string; pollMs?: number; timeouts?: Partial<HttpTimeouts> }): BundleOrigin;
}

const withServer = (use: (given: Given) => Promise<void>): Promise<void> =>
  withFolder(async (folder) => {
    const server = await openFileServer(folder);
    const origin: Given['origin'] = (path = '', { token = '', pollMs = NEVER_MS, timeouts = {} } = {}) =>
      createHttpOrigin({ url: `${server.url}${path}`, token, pollMs, timeouts });
    try {
      await use({ folder, server, origin });
    } finally {
      await server.stop();
    }
  });

const failureOf = async (read: Promise<Buffer>): Promise<{ message: string; code: unknown }> => {
  const { message, code } = (await rejectionOf(read)) as { message: string; code?: unknown };
  return { message, code };
};

const until = async (is: () => boolean): Promise<void> => {
  for (let wait = 0; wait < 400 && !is(); wait++) await pause(25);
  expect(is()).toBe(true);
};

describe('a file of a server', () => {
  test('that is known by its ETag is not sent again, and one that changed is', async () => {
    await withServer(async ({ folder, server, origin }) => {
      const { read } = origin();
      await writeFile(join(folder, 'a'), 'one');
      expect(String(await read('a', LIMIT))).toBe('one');
      expect(String(await read('a', LIMIT))).toBe('one');
      await writeFile(join(folder, 'a'), 'two');
      expect(String(await read('a', LIMIT))).toBe('two');
      expect(String(await read('a', LIMIT))).toBe('two');
      expect(server.log).toEqual(['GET /a 200', 'GET /a 304', 'GET /a 200', 'GET /a 304']);
    });
  });

  test('is read anew after five minutes, whatever its ETag', async () => {
    await withServer(async ({ folder, server, origin }) => {
      const { read } = origin();
      await writeFile(join(folder, 'a'), 'one');
      await read('a', LIMIT);
      const now = Date.now();
      const clock = jest.spyOn(Date, 'now').mockImplementation(() => now + 299_000);
      try {
        await read('a', LIMIT);
        clock.mockImplementation(() => now + 301_000);
        await read('a', LIMIT);
        await read('a', LIMIT);
      } finally {
        clock.mockRestore();
      }
      expect(server.log).toEqual(['GET /a 200', 'GET /a 304', 'GET /a 200', 'GET /a 304']);
    });
  });

  test('without an ETag is known by its time, unless it is so new that it may change within the same second', async () => {
    await withServer(async ({ server, origin }) => {
      const { read } = origin();
      const asked: unknown[] = [];
      const answer = (ageMs: number): void => {
        server.play = (request, response) => {
          asked.push(request.headers['if-modified-since']);
          const modified = new Date(Date.now() - ageMs).toUTCString();
          response.writeHead(200, { 'last-modified': modified, 'content-length': 1 }).end('x');
        };
      };
      answer(0);
      await read('a', LIMIT);
      await read('a', LIMIT);
      answer(60_000);
      await read('a', LIMIT);
      await read('a', LIMIT);
      expect(asked).toEqual([undefined, undefined, undefined, expect.stringMatching(/GMT$/)]);
    });
  });

  test('is sent with neither a credential nor a wish to be compressed, or with the token that the config names', async () => {
    await withServer(async ({ folder, server, origin }) => {
      await writeFile(join(folder, 'a'), 'x');
      await origin().read('a', LIMIT);
      await origin('', { token: 's3cret' }).read('a', LIMIT);
      expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, 'Bearer s3cret']);
      expect(server.requests.map(({ headers }) => headers['accept-encoding'])).toEqual(['identity', 'identity']);
    });
  });

  test('under an address that does not end in a slash is the one bundle', async () => {
    await withServer(async ({ folder, server, origin }) => {
      await writeFile(join(folder, 'bundle'), 'x');
      const one = origin('bundle?key=s3cret');
      expect([one.hasRollout, one.place]).toEqual([false, `${server.url}bundle`]);
      expect(String(await one.read('', LIMIT))).toBe('x');
      expect(server.log).toEqual(['GET /bundle?key=s3cret 200']);
      expect((await failureOf(origin('other?key=s3cret').read('', LIMIT))).message).not.toContain('s3cret');
      expect(origin().hasRollout).toBe(true);
    });
  });

  test.each([
    [301, /redirect \(301\), which is not followed/],
    [307, /redirect \(307\)/],
    [304, /status 304/],
    [401, /refuses access \(401\): look at bundles.token/],
    [404, /no such file \(404\)/],
    [500, /status 500/],
    [206, /status 206/],
  ])('with the status %i is a failure that passes', async (status, sentence) => {
    await withServer(async ({ folder, server, origin }) => {
      const { read } = origin('', { token: 's3cret' });
      server.play = (_request, response) => response.writeHead(status, { location: `${server.url}b` }).end();
      const { message, code } = await failureOf(read('a', LIMIT));
      expect(message).toMatch(sentence);
      expect(message).toContain(`${server.url}a: `);
      expect(message).not.toContain('s3cret');
      expect(code).toBe(`HTTP_${status}`);
      expect(server.requests).toHaveLength(1);
      server.play = () => false;
      await writeFile(join(folder, 'a'), 'back');
      expect(String(await read('a', LIMIT))).toBe('back');
    });
  });

  test('that is too large is refused while it is read, and its ETag is not kept', async () => {
    await withServer(async ({ folder, server, origin }) => {
      const { read } = origin();
      await writeFile(join(folder, 'a'), 'x'.repeat(LIMIT + 1));
      expect(await failureOf(read('a', LIMIT))).toEqual({
        message: `${server.url}a: larger than ${LIMIT} bytes`,
        code: undefined,
      });
      let sent = 0;
      server.play = (_request, response) => {
        // No length is told, and no end: only a reader that counts stops.
        response.writeHead(200, { etag: '"endless"' });
        const more = setInterval(() => {
          sent += 500;
          response.write('x'.repeat(500));
        }, 5);
        response.on('close', () => clearInterval(more));
      };
      expect((await failureOf(read('a', LIMIT))).message).toContain('larger than');
      await until(() => server.log.length === 2);
      expect(sent).toBeLessThan(1_000_000);
      server.play = () => false;
      await writeFile(join(folder, 'a'), 'x');
      expect(String(await read('a', LIMIT))).toBe('x');
      expect(server.requests.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, undefined, undefined]);
    });
  });

  test('that breaks off is no file, and what was known of it before still is', async () => {
    await withServer(async ({ folder, server, origin }) => {
      const { read } = origin();
      await writeFile(join(folder, 'a'), 'whole');
      await read('a', LIMIT);
      for (const length of [{ 'content-length': 100 }, {}]) {
        server.play = (_request, response) => {
          response.writeHead(200, { etag: '"half"', ...length }).write('half');
          setTimeout(() => response.destroy(), 20);
        };
        expect(typeof (await failureOf(read('a', LIMIT))).code).toBe('string');
      }
      server.play = () => false;
      expect(String(await read('a', LIMIT))).toBe('whole');
      expect(server.log.at(-1)).toBe('GET /a 304');
    });
  });

  test('whose end nobody told is not known by its ETag: it may be half of one', async () => {
    const server = await openRawServer((socket) => {
      socket.end('HTTP/1.1 200 OK\r\netag: "x"\r\nconnection: close\r\n\r\nhalf');
    });
    try {
      const { read } = createHttpOrigin({ url: `${server.url}/`, token: '', pollMs: NEVER_MS });
      await read('a', LIMIT);
      await read('a', LIMIT);
      expect(server.requests).toHaveLength(2);
      expect(server.requests.some(({ head }) => /if-none-match/i.test(head))).toBe(false);
    } finally {
      await server.close();
    }
  });

  test('of a server that is silent, slow in the middle, or never done, is given up', async () => {
    await withServer(async ({ server, origin }) => {
      const { read } = origin('', { timeouts: { idle: 200, whole: 600 } });
      const expected = {
        message: `${server.url}a: the server is too slow, or cannot be reached`,
        code: 'HTTP_TIMEOUT',
      };
      server.play = () => true;
      expect(await failureOf(read('a', LIMIT))).toEqual(expected);
      server.play = (_request, response) => response.writeHead(200, { 'content-length': 9 }).write('x');
      expect(await failureOf(read('a', LIMIT))).toEqual(expected);
      server.play = (_request, response) => {
        response.writeHead(200, { 'content-length': 999 });
        const drip = setInterval(() => response.write('x'), 50);
        response.on('close', () => clearInterval(drip));
      };
      expect(await failureOf(read('a', LIMIT))).toEqual(expected);
    });
  }, 30_000);

  test('of a server that is not there is a failure that passes', async () => {
    await withServer(async ({ folder, server, origin }) => {
      const { read } = origin();
      await writeFile(join(folder, 'a'), 'x');
      await read('a', LIMIT);
      await server.stop();
      expect(await failureOf(read('a', LIMIT))).toEqual({
        message: `${server.url}a: cannot be read from the server: ECONNREFUSED`,
        code: 'ECONNREFUSED',
      });
      await server.start();
      expect(String(await read('a', LIMIT))).toBe('x');
      expect(server.log.at(-1)).toBe('GET /a 304');
    });
  });

  test('compressed on its way is unpacked once, and a bundle whose own compression is called that is not', async () => {
    await withServer(async ({ server, origin }) => {
      const { read } = origin();
      const tar = Buffer.from('a tar');
      const bundle = gzipSync(tar);
      const answer = (bytes: Buffer, encoding: string) => {
        server.play = (_request, response) =>
          response.writeHead(200, { 'content-encoding': encoding, 'content-length': bytes.length }).end(bytes);
      };
      answer(gzipSync('stable: x'), 'gzip');
      expect(String(await read('rollout.yaml', LIMIT))).toBe('stable: x');
      for (const encoding of ['gzip', 'x-gzip', 'GZIP']) {
        answer(gzipSync(bundle), encoding);
        expect(await read('a.tar.gz', LIMIT)).toEqual(bundle);
        answer(bundle, encoding);
        expect(await read('a.tar.gz', LIMIT)).toEqual(bundle);
      }
      answer(bundle, 'identity');
      expect(await read('a.tar.gz', LIMIT)).toEqual(bundle);
      answer(gzipSync(Buffer.alloc(5_000_000)), 'gzip');
      expect((await failureOf(read('a.tar.gz', 10_000))).message).toContain('larger than 10000 bytes when unpacked');
      answer(Buffer.from('plain'), 'gzip');
      expect((await failureOf(read('a.tar.gz', LIMIT))).code).toBe('HTTP_ENCODING');
      answer(Buffer.from('plain'), 'br');
      expect((await failureOf(read('a.tar.gz', LIMIT))).code).toBe('HTTP_ENCODING');
    });
  });
});

describe('a policy source that follows a server', () => {
  let forgery: Forgery;
  beforeAll(async () => {
    forgery = await makeForgery();
  });

  interface Followed extends Given {
    events: PolicyEvent[];
    put(sequence: 5 | 6 | 7): Promise<void>;
    open(path?: string, pollMs?: number): Promise<FollowedSource>;
  }

  const following = (use: (given: Followed) => Promise<void>): Promise<void> =>
    withServer((given) =>
      withFolder(async (home) => {
        const events: PolicyEvent[] = [];
        const opened: FollowedSource[] = [];
        const bundles = { 5: forgery.serving, 6: forgery.next, 7: forgery.newer };
        await writeFile(join(given.folder, 'rollout.yaml'), 'stable: a.tar.gz\n');
        try {
          await use({
            ...given,
            events,
            put: async (sequence) => {
              // Renamed: the server may be reading it.
              await writeFile(join(given.folder, 'new'), await forgery.sign(bundles[sequence]));
              await rename(join(given.folder, 'new'), join(given.folder, 'a.tar.gz'));
            },
            open: async (path = '', pollMs = 50) => {
              const origin = given.origin(path, { pollMs });
              const { publicKeys } = forgery;
              opened.push(await openPolicySource({ origin, home, publicKeys, onEvent: (event) => events.push(event) }));
              return opened.at(-1)!;
            },
          });
        } finally {
          await Promise.all(opened.map((source) => source.close()));
        }
      }),
    );
  const sequenceOf = (source: FollowedSource) => source.current?.manifest.metadata.aegis.sequence;

  test('keeps what serves while the server says that nothing changed, and swaps when it has another', async () => {
    await following(async ({ server, events, put, open }) => {
      await put(5);
      const source = await open();
      const before = source.current;
      await until(() => server.log.filter((line) => line.endsWith('304')).length >= 6);
      expect(source.current).toBe(before);
      expect(server.log.filter((line) => line.endsWith('200'))).toHaveLength(2);
      await put(6);
      await until(() => sequenceOf(source) === 6);
      expect(events.map(({ event }) => event)).toEqual(['bundle_activated', 'bundle_activated']);
    });
  });

  test('follows one bundle without a rollout.yaml, as a bundle server of OPA gives it', async () => {
    await following(async ({ server, events, put, open }) => {
      await put(5);
      const source = await open('a.tar.gz');
      expect(sequenceOf(source)).toBe(5);
      expect(events[0]?.detail.source).toBe(`${server.url}a.tar.gz`);
      await put(6);
      await until(() => sequenceOf(source) === 6);
      expect(server.log.every((line) => line.startsWith('GET /a.tar.gz '))).toBe(true);
    });
  });

  test('serves on while the server is away, tells it once, tells how old its knowledge is, and goes on when it is back', async () => {
    await following(async ({ server, events, put, open }) => {
      await put(5);
      const source = await open();
      await server.stop();
      await until(() => source.isRefusing);
      const { freshMs } = source;
      await source.refresh();
      await source.refresh();
      expect(events.map(({ event }) => event)).toEqual(['bundle_activated', 'bundle_refused']);
      expect(events[1]?.detail.reason).toMatch(/rollout.yaml: cannot be read from the server: ECONNREFUSED$/);
      expect([sequenceOf(source), source.freshMs]).toEqual([5, freshMs]);
      await server.start();
      await put(6);
      await until(() => sequenceOf(source) === 6);
      expect(source.isRefusing).toBe(false);
      expect(source.freshMs).toBeGreaterThan(freshMs);
      expect(events).toHaveLength(3);
    });
  }, 30_000);

  test('asks a server that fails less and less often', async () => {
    await following(async ({ server, put, open }) => {
      await put(5);
      const source = await open();
      server.play = (_request, response) => response.writeHead(503).end();
      await until(() => source.isRefusing);
      const asked = server.requests.length;
      await pause(1_500);
      // Every 50 ms would be thirty.
      expect(server.requests.length - asked).toBeLessThanOrEqual(2);
      server.play = () => false;
      await put(6);
      await until(() => sequenceOf(source) === 6);
    });
  }, 30_000);

  test('refuses a page in a bundle’s place once, and takes the bundle that follows', async () => {
    await following(async ({ folder, events, put, open }) => {
      await put(5);
      const source = await open();
      await writeFile(join(folder, 'a.tar.gz'), '<html>Sign in</html>');
      await until(() => source.isRefusing);
      await source.refresh();
      expect(events.map(({ event }) => event)).toEqual(['bundle_activated', 'bundle_refused']);
      expect(sequenceOf(source)).toBe(5);
      await put(6);
      await until(() => sequenceOf(source) === 6);
    });
  });

  test('closes at once while the server keeps it waiting', async () => {
    await following(async ({ server, put, open }) => {
      await put(5);
      const source = await open('', 20);
      server.play = () => true;
      const asked = server.requests.length;
      await until(() => server.requests.length > asked);
      const startedMs = performance.now();
      await source.close();
      expect(performance.now() - startedMs).toBeLessThan(5_000);
    });
  });

  test('sends its token nowhere but to the server', async () => {
    await withServer(async ({ server, folder }) => {
      const seen: unknown[] = [];
      const other = createServer((request, response) => {
        seen.push(request.headers);
        response.end();
      }).listen(0, '127.0.0.1');
      try {
        await new Promise((resolve) => other.once('listening', resolve));
        const { port } = other.address() as { port: number };
        server.play = (_request, response) =>
          response.writeHead(302, { location: `http://127.0.0.1:${port}/${folder}` }).end();
        const { read } = createHttpOrigin({ url: server.url, token: 's3cret', pollMs: NEVER_MS });
        expect((await failureOf(read('a', LIMIT))).message).toContain('not followed');
        await pause(50);
        expect(seen).toEqual([]);
      } finally {
        other.close();
      }
    });
  });
});
