import type { UpstreamConfig } from './endpoint.ts';
import { type OnOutOfMoney, openHttpUpstream, type UpstreamLogger } from './http.ts';
import { openSandbox, type Sandbox } from './sandbox/sandbox.ts';
import type { Upstream } from './upstream.ts';

/**
 * Opens every configured upstream, by name. Those of kind `sandbox` share one sandbox, which the last of them closes.
 * Throws Error on a name used twice or a base URL that cannot be used; nothing stays open then.
 */
export const openUpstreams = async (
  configs: readonly UpstreamConfig[],
  logger?: UpstreamLogger,
  onOutOfMoney: OnOutOfMoney = () => {},
): Promise<Map<string, Upstream>> => {
  const upstreams = new Map<string, Upstream>();
  let sandbox: Sandbox | undefined;
  let tenants = 0;
  try {
    for (const config of configs) {
      if (upstreams.has(config.name)) throw new Error(`upstream "${config.name}" is configured twice`);
      if (config.kind !== 'sandbox') {
        upstreams.set(config.name, openHttpUpstream(config, logger, { onOutOfMoney }));
        continue;
      }
      sandbox ??= await openSandbox();
      tenants++;
      const http = openHttpUpstream({ ...config, base_url: `${sandbox.url}/v1` }, logger, { onOutOfMoney });
      upstreams.set(config.name, {
        ...delegate(http),
        close: async () => {
          await http.close();
          if (--tenants === 0) await sandbox?.close();
        },
      });
    }
  } catch (error) {
    await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
    await sandbox?.close();
    throw error;
  }
  return upstreams;
};

const delegate = (upstream: Upstream): Omit<Upstream, 'close'> => ({
  name: upstream.name,
  kind: upstream.kind,
  dialects: upstream.dialects,
  endpoints: upstream.endpoints,
  thirdParty: upstream.thirdParty,
  health: upstream.health,
  status: upstream.status,
  send: upstream.send,
  mayRetry: upstream.mayRetry,
  hasKey: upstream.hasKey,
  hasRoom: upstream.hasRoom,
  waitMs: upstream.waitMs,
  hideKeys: upstream.hideKeys,
});
