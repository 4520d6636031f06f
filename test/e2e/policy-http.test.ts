import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { chatCompletion } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { type FileServer, openFileServer } from '../support/file-server.ts';
import { openTestGateway, type TestGateway, until } from '../support/gateway.ts';

let bundles: TestBundles;
let server: FileServer;
let home: string;

const open = async (): Promise<TestGateway> => {
  const config = { bundles: { ...bundles.config.bundles, source: server.url, token: 's3cret' } };
  const gateway = await openTestGateway({ home, config });
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  return gateway;
};

beforeAll(async () => {
  bundles = await openTestBundles();
  server = await openFileServer(bundles.folder);
  home = await mkdtemp(join(tmpdir(), 'aegis-e2e-'));
}, 60_000);
afterAll(async () => {
  await server.stop();
  await bundles.remove();
  await rm(home, { recursive: true, force: true });
});

const ask = async (gateway: TestGateway): Promise<[number, string | null]> => {
  const answer = await gateway.chat({});
  await answer.arrayBuffer();
  return [answer.status, answer.headers.get('x-aegis-policy-revision')];
};

const sourceAgeS = async ({ running }: TestGateway): Promise<number> => {
  const text = await (await fetch(`${running.adminUrl}/metrics`)).text();
  return Number(/^aegis_bundle_source_age_seconds(?:\{[^}]*\})? ([\d.e-]+)/m.exec(text)?.[1] ?? Number.NaN);
};

test('a gateway decides by what a server has, and on while it is away, also after a restart', async () => {
  const first = await bundles.rollOut();
  const gateway = await open();
  try {
    expect(await ask(gateway)).toEqual([200, first]);
    expect(server.requests.every(({ headers }) => headers.authorization === 'Bearer s3cret')).toBe(true);
    const second = await bundles.rollOut({ 'aegis/decision.rego': (text) => `${text}\n# another revision\n` });
    await until(async () => (await ask(gateway))[1] === second || undefined, 30_000);
    expect(await sourceAgeS(gateway)).toBeLessThan(60);

    await server.stop();
    await until(async () => (await sourceAgeS(gateway)) > 2 || undefined);
    expect(await ask(gateway)).toEqual([200, second]);
    await gateway.close();

    const again = await open();
    try {
      expect(await ask(again)).toEqual([200, second]);
      await server.start();
      const third = await bundles.rollOut();
      await until(async () => (await ask(again))[1] === third || undefined, 60_000);
      expect(await sourceAgeS(again)).toBeLessThan(60);
    } finally {
      await again.close();
    }
  } finally {
    await gateway.close().catch(() => {});
  }
}, 120_000);
