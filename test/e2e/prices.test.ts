import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { chatCompletion, message } from '../support/answers.ts';
import { openTestBundles, type TestBundles } from '../support/bundles.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { CHAT_MODEL, openTestGateway, type TestGateway, until } from '../support/gateway.ts';

/** Takes the prices of the student's chat model out of the catalogue. */
const unpriced = (text: string): string =>
  text.replace(new RegExp(`(\\n${CHAT_MODEL}:[\\s\\S]*?)\\n  usd_per_million_tokens: [^\\n]*`), '$1');

let bundles: TestBundles;
let gateway: TestGateway;
beforeAll(async () => {
  bundles = await openTestBundles();
  await bundles.rollOut({ 'models/data.yaml': unpriced });
  gateway = await openTestGateway({ config: bundles.config });
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  gateway.anthropic.play = answerJson(200, message('Hi.'));
}, 60_000);
afterAll(async () => {
  await gateway.close();
  await bundles.remove();
});

test('a model without a price is not asked: named it is refused, of several candidates it is left out', async () => {
  const refused = await gateway.chat({});
  expect(refused.status).toBe(502);
  expect(await refused.json()).toMatchObject({
    error: { code: 'no_candidate', message: `The policy has no price for ${CHAT_MODEL}, so it cannot be asked.` },
  });
  expect(gateway.openai.requests).toHaveLength(0);
  expect(await gateway.outcomeOf(refused)).toMatchObject({ usage: null, cost: { micro_usd: 0 }, attempts: [] });

  const answer = await gateway.chat({ model: 'auto', messages: [{ role: 'user', content: 'Good morning' }] });
  expect(answer.status).toBe(200);
  expect(answer.headers.get('x-aegis-model')).not.toBe(CHAT_MODEL);
  expect((await gateway.outcomeOf(answer)).cost.micro_usd).toBeGreaterThan(0);
});

test('and is charged at the default price that the policy names', async () => {
  const revision = await bundles.rollOut({
    'models/data.yaml': unpriced,
    'default_prices/data.yaml': () => '{ input: 100, output: 1000 }\n',
  });
  await until(() => (gateway.running.gateway.policies.current?.ref.revision === revision ? true : undefined));
  const answer = await gateway.chat({ max_tokens: 100 });
  expect(answer.status).toBe(200);
  // 20 prompt tokens and 5 of the answer.
  expect(await gateway.outcomeOf(answer)).toMatchObject({
    model: CHAT_MODEL,
    cost: { micro_usd: 20 * 100 + 5 * 1000, price_version: revision },
  });
}, 60_000);
