import type { Settings } from '../config.ts';
import { type Check, ok, problem, warning } from './doctor-check.ts';
import { type Probe, probe } from './probe.ts';

/**
 * Looks whether who is told of alerts and who collects telemetry can be reached. They are asked with GET, which neither
 * takes for more: nothing is posted, and an answer of any kind shows the way to be free.
 */
export const checkReceivers = async (
  { alerts, telemetry }: Pick<Settings, 'alerts' | 'telemetry'>,
  timeoutMs: number,
): Promise<Check[]> => {
  const [webhook, collector] = await Promise.all([
    alerts && ask(alerts.webhook.url, {}, timeoutMs),
    telemetry.otlpEndpoint === null
      ? null
      : ask(`${telemetry.otlpEndpoint.replace(/\/+$/, '')}/v1/metrics`, telemetry.headers, timeoutMs),
  ]);
  return [...(webhook ? [webhookCheck(webhook)] : []), ...(collector ? [collectorCheck(collector)] : [])];
};

interface Asked extends Probe {
  /** Without path and query, in which there may be a secret. */
  readonly origin: string;
}

const ask = async (url: string, headers: Readonly<Record<string, string>>, timeoutMs: number): Promise<Asked> => {
  const { origin, pathname, search } = new URL(url);
  const found = await probe({ origin, path: pathname + search, headers: Object.entries(headers).flat(), timeoutMs });
  return { origin, ...found };
};

const whyNot = ({ origin, failed, code }: Asked): string => `${origin} cannot be reached: ${failed} ${code}`;

const webhookCheck = (found: Asked): Check =>
  found.failed === null
    ? ok('alerts', `${found.origin} can be reached; nothing was posted`)
    : problem('alerts', whyNot(found), 'check alerts.webhook.url, and the way there: alerts wait some hours, then end');

const collectorCheck = (found: Asked): Check => {
  if (found.failed !== null) {
    return warning('telemetry', whyNot(found), 'check telemetry.otlp_endpoint: what is not taken is dropped');
  }
  const { status, origin } = found;
  if (status === 401 || status === 403) {
    return warning('telemetry', `${origin} refuses: ${status}`, 'set its token in telemetry.headers');
  }
  if (status === 404) {
    const fix = 'set telemetry.otlp_endpoint to the base URL of OTLP over HTTP (port 4318 mostly)';
    return warning('telemetry', `${origin} has no /v1/metrics below telemetry.otlp_endpoint: 404`, fix);
  }
  return ok('telemetry', `${origin} can be reached`);
};
