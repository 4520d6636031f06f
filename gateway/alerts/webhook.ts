import { createHmac } from 'node:crypto';
import { Agent, request } from 'undici';
import { webhookSecretOf } from '../webhook-secret.ts';

/** Where alerts go. */
export interface WebhookSettings {
  /** https, or http on loopback. */
  readonly url: string;
  /** `whsec_` and the base64 of 24 to 64 bytes. */
  readonly secret: string;
}

/** Posts signed messages to one address. */
export interface Webhook {
  /** Resolves with null once a 2xx has come, else with why not: words for a log, without address or secret. */
  post(id: string, body: string): Promise<string | null>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 10_000;

/** The signature of Standard Webhooks (v1, symmetric): over id, time of the attempt in seconds, and body. */
export const signatureOf = (secret: Uint8Array, id: string, timestampS: number, body: string): string =>
  `v1,${createHmac('sha256', secret).update(`${id}.${timestampS}.${body}`).digest('base64')}`;

/** Opens the sender of a webhook. Redirects are not followed. Throws RangeError on a secret that is none. */
export const openWebhook = ({ url, secret }: WebhookSettings, timeoutMs = TIMEOUT_MS): Webhook => {
  const key = webhookSecretOf(secret);
  if (!key) throw new RangeError('a webhook secret is whsec_ and the base64 of 24 to 64 random bytes');
  const dispatcher = new Agent({ connect: { timeout: timeoutMs }, maxHeaderSize: 16_384 });
  return {
    async post(id, body) {
      const timestamp = Math.floor(Date.now() / 1000);
      try {
        const answer = await request(url, {
          method: 'POST',
          dispatcher,
          signal: AbortSignal.timeout(timeoutMs),
          headers: {
            'content-type': 'application/json',
            'user-agent': 'aegis',
            'webhook-id': id,
            'webhook-timestamp': String(timestamp),
            'webhook-signature': signatureOf(key, id, timestamp, body),
          },
          body,
        });
        // What it says does not matter; a body without an end is cut.
        answer.body.on('error', () => {}).destroy();
        return answer.statusCode >= 200 && answer.statusCode < 300 ? null : `status ${answer.statusCode}`;
      } catch (error) {
        const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
        return String(code ?? name ?? 'failed');
      }
    },
    close: () => dispatcher.destroy(),
  };
};
