import { request as httpRequest } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { chatCompletion, message } from '../support/answers.ts';
import { answerJson } from '../support/fake-upstream.ts';
import { openTestGateway, PROVIDER_KEY, type TestGateway } from '../support/gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await openTestGateway();
});
beforeEach(() => {
  gateway.openai.play = answerJson(200, chatCompletion('Hi.'));
  gateway.anthropic.play = answerJson(200, message('Hi.'));
});
afterAll(() => gateway.close());

const sentToOpenai = async (body: string, headers: Record<string, string> = {}): Promise<string> => {
  const answer = await gateway.post('/v1/chat/completions', body, { headers });
  expect({ status: answer.status, body: await answer.text() }).toMatchObject({ status: 200 });
  return gateway.openai.last().body.toString();
};

const sentToAnthropic = async (body: string, headers: Record<string, string> = {}): Promise<string> => {
  const answer = await gateway.post('/v1/messages', body, { headers });
  expect({ status: answer.status, body: await answer.text() }).toMatchObject({ status: 200 });
  return gateway.anthropic.last().body.toString();
};

describe('the upstream sees the caller’s body byte for byte', () => {
  test('but for model and output cap', async () => {
    const odd = `{ "zeta" : [ 1.0, 1e2 , -0.0, 12345678901234567890123 ],\r\n\t"model"\n:\t"gpt-5.4-nano" , "messages":[{"role":"user","content":"Caf\\u00e9 \\/ \\"x\\" ❤ 😀","name":"b","extra":{"deep":[[[]]]}}],"max_completion_tokens"  :  50 , "a":null, "unknown_field":{"b":1,"a":2}}`;
    expect(await sentToOpenai(odd)).toBe(odd);
    expect(await sentToOpenai(odd.replace(':  50 ', ':  900000 '))).toBe(odd.replace(':  50 ', ':  4096 '));
  });

  test('and gets an output cap at the end when it had none, under the name the provider takes', async () => {
    const body = '{"model":"gpt-5.4-nano","messages":[{"role":"user","content":"Hi"}]  }';
    expect(await sentToOpenai(body)).toMatch(
      /^\{"model":"gpt-5\.4-nano","messages":\[\{"role":"user","content":"Hi"\}\] *,"max_completion_tokens":4096 *\}$/,
    );
  });

  test('and keeps the old name of the cap where the caller used it', async () => {
    const body = '{"model":"gpt-5.4-nano","max_tokens":7,"messages":[{"role":"user","content":"Hi"}]}';
    expect(await sentToOpenai(body)).toBe(body);
  });

  test('and is asked for usage in a stream, without losing the caller’s stream options', async () => {
    const plain = '{"model":"gpt-5.4-nano","max_tokens":7,"stream":true,"messages":[{"role":"user","content":"Hi"}]}';
    expect(JSON.parse(await sentToOpenai(plain)).stream_options).toEqual({ include_usage: true });
    const options = plain.replace('}]}', '}],"stream_options":{"include_obfuscation":false}}');
    expect(JSON.parse(await sentToOpenai(options)).stream_options).toEqual({
      include_usage: true,
      include_obfuscation: false,
    });
    const refused = plain.replace('}]}', '}],"stream_options":{"include_usage":false}}');
    expect(JSON.parse(await sentToOpenai(refused)).stream_options).toEqual({ include_usage: true });
    const asked = plain.replace('}]}', '}],"stream_options":{"include_usage":true}}');
    expect(await sentToOpenai(asked)).toBe(asked);
  });

  test('in the Anthropic API too, with blocks, cache control and unknown fields', async () => {
    const body = `{"model": "claude-haiku-5-5","max_tokens":0100,"system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":[{"type":"text","text":"Hi","citations":{"enabled":false}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"Hm.","signature":"c2ln"},{"type":"tool_use","id":"t1","name":"f","input":{"n":1.50,"big":12345678901234567890}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"ok"}]}],"thinking":{"type":"adaptive"},"metadata":{"user_id":"u1"},"future":{"x":[true]}}`;
    expect((await gateway.post('/v1/messages', body)).status).toBe(400); // 0100 is no JSON number
    const valid = body.replace('0100', '100');
    expect(await sentToAnthropic(valid)).toBe(valid);
  });

  test('and model "auto" becomes the chosen model, in place', async () => {
    const body = '{"max_tokens":9,"model":"auto","messages":[{"role":"user","content":"A) x B) y C) z. Which?"}]}';
    const seen = await sentToAnthropic(body);
    const chosen = JSON.parse(seen).model as string;
    expect(chosen).toMatch(/^claude-/);
    expect(seen).toBe(body.replace('"auto"', JSON.stringify(chosen)));
  });
});

describe('the upstream sees headers of the gateway’s choosing', () => {
  test('never the caller’s credential, cookies, x-aegis-* or hop-by-hop headers', async () => {
    const key = await gateway.key('student');
    const status = await new Promise<number>((resolve, reject) => {
      const body = JSON.stringify({ model: 'gpt-5.4-nano', messages: [{ role: 'user', content: 'Hi' }] });
      const req = httpRequest(
        `${gateway.url}/v1/chat/completions`,
        {
          method: 'POST',
          headers: {
            'x-api-key': key,
            'content-type': 'application/json; charset=utf-8',
            'content-length': Buffer.byteLength(body),
            cookie: 'session=caller',
            'x-aegis-workflow': 'assistant',
            'x-aegis-session': 'session-1',
            'x-aegis-tags': 'institution=MIT,course=CS101',
            'x-forwarded-for': '203.0.113.7',
            'x-forwarded-host': 'evil.example',
            'openai-organization': 'org-of-caller',
            'openai-project': 'proj-of-caller',
            'openai-beta': 'assistants=v2',
            'x-custom': 'custom-of-caller',
            'idempotency-key': 'key-of-caller',
            connection: 'keep-alive, x-custom',
            te: 'trailers',
            'proxy-authorization': 'Basic abc',
          },
        },
        (res) => {
          res.resume();
          res.on('end', () => resolve(res.statusCode ?? 0));
        },
      );
      req.on('error', reject);
      req.end(body);
    });
    expect(status).toBe(200);
    const { headers, rawHeaders, path } = gateway.openai.last();
    expect(path).toBe('/v1/chat/completions');
    expect(headers.authorization).toBe(`Bearer ${PROVIDER_KEY}`);
    expect(headers['openai-beta']).toBe('assistants=v2');
    expect(rawHeaders.join('\n')).not.toContain(key);
    const names = Object.keys(headers);
    expect(names.filter((name) => name.startsWith('x-'))).toEqual([]);
    for (const name of ['cookie', 'te', 'proxy-authorization', 'openai-organization', 'openai-project']) {
      expect(names).not.toContain(name);
    }
    expect(rawHeaders.join('\n')).not.toMatch(/of-caller|session=caller|203\.0\.113\.7|evil/);
    expect(headers['accept-encoding']).toBe('identity');
    expect(headers.host).toBe(new URL(gateway.openai.url).host);
  });

  test('with anthropic-version of the caller, else the default, and the beta header', async () => {
    const body = '{"model":"claude-haiku-5-5","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}';
    await sentToAnthropic(body);
    expect(gateway.anthropic.last().headers['anthropic-version']).toBe('2023-06-01');
    await sentToAnthropic(body, { 'anthropic-version': '2024-10-22', 'anthropic-beta': 'a-1,b-2' });
    const { headers, path, rawHeaders } = gateway.anthropic.last();
    expect(headers['anthropic-version']).toBe('2024-10-22');
    expect(headers['anthropic-beta']).toBe('a-1,b-2');
    expect(headers['x-api-key']).toBe(PROVIDER_KEY);
    expect(headers.authorization).toBeUndefined();
    expect(path).toBe('/v1/messages');
    expect(rawHeaders.join('\n')).not.toContain(await gateway.key('student'));
  });
});

test('a tool that the organisation forbids is taken out, and the rest of the body stays as it is', async () => {
  const tool = (name: string): string => `{"type":"function","function":{"name":"${name}","parameters":{}}}`;
  const body = `{"model":"gpt-5.4-nano","max_tokens":7,"tools":[ ${tool('send_email')} , ${tool('weather')} ],"messages":[{"role":"user","content":"Hi"}], "z":1}`;
  const seen = await sentToOpenai(body);
  expect(JSON.parse(seen).tools.map((entry: { function: { name: string } }) => entry.function.name)).toEqual([
    'weather',
  ]);
  expect(seen.slice(seen.indexOf(tool('weather')))).toBe(body.slice(body.indexOf(tool('weather'))));
});

test('an error of the provider about the request passes through as it is', async () => {
  const error = {
    error: { message: 'temperature is too high', type: 'invalid_request_error', param: 'temperature', code: null },
  };
  gateway.openai.play = answerJson(400, error, { 'x-request-id': 'req_provider' });
  const answer = await gateway.chat({ temperature: 2 });
  expect(answer.status).toBe(400);
  expect(await answer.json()).toEqual(error);
  expect(await gateway.outcomeOf(answer)).toMatchObject({ outcome: 'rejected', status: 400, cost: { micro_usd: 0 } });
});
