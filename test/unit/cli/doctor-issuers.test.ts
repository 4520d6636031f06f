import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { checkIssuers } from '../../../gateway/cli/doctor-issuers.ts';
import type { IssuerSettings } from '../../../gateway/config.ts';
import { openIssuer, type TestIssuer } from '../../support/issuer.ts';

let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await openIssuer();
});
afterAll(() => issuer.close());

const check = async () => (await checkIssuers([issuer.entry as IssuerSettings], 2_000))[0];

test('the doctor says that an issuer’s keys can be had', async () => {
  expect(await check()).toMatchObject({ status: 'ok', found: `its keys can be had at ${issuer.entry.jwks_uri}` });
});

test.each([
  ['an error', 500, '', 'its answer has the status 500'],
  ['a page', 200, '<html>', 'is not valid JSON'],
  ['something else', 200, '{}', 'its answer is no set of keys'],
])('the doctor says why not where they are %s, and where to look', async (_, status, text, why) => {
  issuer.play = (_request, response) => void response.writeHead(status).end(text);
  const found = await check();
  expect(found).toMatchObject({ status: 'problem', fix: expect.stringContaining(issuer.entry.jwks_uri) });
  expect(found?.found).toContain(why);
  issuer.play = null;
});
