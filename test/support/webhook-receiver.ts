import { createHmac, timingSafeEqual } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { type FakeUpstream, openFakeUpstream, type SeenRequest } from './fake-upstream.ts';

/** 32 bytes, as Standard Webhooks writes a secret. */
export const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

/** One delivery as the receiver saw it. */
export interface Delivery {
  readonly id: string;
  readonly timestampS: number;
  readonly headers: SeenRequest['headers'];
  readonly body: Record<string, unknown>;
}

/** A webhook's receiver that checks signatures by itself, and answers as it is told. */
export interface WebhookReceiver {
  readonly url: string;
  /** Every delivery, whatever it was answered. */
  readonly deliveries: Delivery[];
  /** What has a wrong signature, or none. */
  readonly forged: SeenRequest[];
  answer: (response: ServerResponse, delivery: Delivery) => void;
  close(): Promise<void>;
}

/** Opens a receiver on a free port of loopback; it answers 204. */
export const openWebhookReceiver = async (secret = WEBHOOK_SECRET): Promise<WebhookReceiver> => {
  const deliveries: Delivery[] = [];
  const forged: SeenRequest[] = [];
  const server: FakeUpstream = await openFakeUpstream((request, response) => {
    if (!isSigned(request, secret)) {
      forged.push(request);
      response.writeHead(401).end();
      return;
    }
    const delivery: Delivery = {
      id: String(request.headers['webhook-id']),
      timestampS: Number(request.headers['webhook-timestamp']),
      headers: request.headers,
      body: JSON.parse(request.body.toString()) as Record<string, unknown>,
    };
    deliveries.push(delivery);
    receiver.answer(response, delivery);
  });
  const receiver: WebhookReceiver = {
    url: `${server.url}/alerts`,
    deliveries,
    forged,
    answer: (response) => response.writeHead(204).end(),
    close: server.close,
  };
  return receiver;
};

/** As https://www.standardwebhooks.com has it: HMAC-SHA256 over id, timestamp and body with dots between. */
const isSigned = ({ headers, body }: SeenRequest, secret: string): boolean => {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const hmac = createHmac('sha256', key);
  hmac.update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`).update(body);
  const expected = Buffer.from(`v1,${hmac.digest('base64')}`);
  const isFresh = Math.abs(Date.now() / 1000 - Number(headers['webhook-timestamp'])) < 300;
  return (
    isFresh &&
    String(headers['webhook-signature'])
      .split(' ')
      .some((signature) => {
        const given = Buffer.from(signature);
        return given.length === expected.length && timingSafeEqual(given, expected);
      })
  );
};
