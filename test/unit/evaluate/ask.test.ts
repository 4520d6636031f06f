import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { askGateway } from '../../../gateway/evaluate/ask.ts';

let server: Server;
let body = '';
beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    response.setHeader('x-aegis-cost-usd', '0.012345').setHeader('x-aegis-decision-id', 'dec_1').end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe('an answer that was paid and cannot be used', () => {
  test.each([
    ['the answer has no text', JSON.stringify({ choices: [{ message: { content: null } }] })],
    ['the answer is not JSON', '<html>'],
  ])('counts with its cost, as it must for the budget: %s', async (words, text) => {
    body = text;
    const { port } = server.address() as AddressInfo;
    const ask = askGateway({ url: `http://127.0.0.1:${port}`, key: 'k', purpose: {}, suite: 's' });
    const asked = ask({ model: 'm', messages: [], parameters: {} }, new AbortController().signal);
    await expect(asked).rejects.toMatchObject({
      message: words,
      costMicroUsd: 12_345,
      decisionId: 'dec_1',
      isFinal: false,
    });
  });
});
