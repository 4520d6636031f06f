import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Address, Settings } from '../config.ts';
import { ROLLOUT_FILE } from '../policy/source.ts';
import { type Check, ok, problem, warning } from './doctor-check.ts';

/** A provider's clock is this far off at most, network time included. */
const SKEW_MS = 60_000;

/**
 * Whether the clock can be right: budgets, expiries and retirement dates go by it. `serverTimes` are what upstreams said,
 * milliseconds since 1970.
 */
export const checkClock = async (settings: Settings, now: number, serverTimes: readonly number[]): Promise<Check> => {
  const fix = 'set the clock of this machine (timedatectl set-ntp true)';
  const skew = serverTimes.map((time) => now - time).sort((a, b) => Math.abs(a) - Math.abs(b))[0];
  const said = new Date(now).toISOString();
  if (skew !== undefined && Math.abs(skew) > SKEW_MS) {
    const seconds = Math.round(Math.abs(skew) / 1000);
    return problem('clock', `${said} is ${seconds} s ${skew > 0 ? 'ahead of' : 'behind'} the upstreams`, fix);
  }
  const written = await stat(join(settings.bundles.source, ROLLOUT_FILE)).catch(() => undefined);
  if (written && written.mtimeMs - now > SKEW_MS) {
    return problem('clock', `${said} is before ${ROLLOUT_FILE} was written`, fix);
  }
  return ok('clock', skew === undefined ? `${said}; no upstream to compare it with` : `${said}, as the upstreams say`);
};

/** Whether the gateway can listen, or listens already. */
export const checkPorts = async ({ listen, adminListen }: Settings): Promise<Check[]> => {
  const isRunning = await answers(adminListen);
  return [await checkPort('listen', listen, isRunning), await checkPort('admin.listen', adminListen, isRunning)];
};

const checkPort = async (check: string, address: Address, isRunning: boolean): Promise<Check> => {
  const where = textOf(address);
  const code = await tryListen(address);
  if (code === undefined) return ok(check, `${where} is free`);
  if (code === 'EADDRINUSE') {
    if (isRunning) return ok(check, `${where} is taken by a gateway that runs`);
    return problem(check, `${where} is taken by another process`, `end it, or set ${check} to another port`);
  }
  if (code === 'EACCES') return problem(check, `${where} needs more rights`, `set ${check} to a port from 1024 on`);
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
    return problem(check, `${where} is no address of this machine`, `set ${check} to one that it has, or 0.0.0.0`);
  }
  return warning(check, `${where} cannot be tried: ${code}`, `set ${check} to another address`);
};

/** The code of what stands in the way of listening; undefined for nothing. */
const tryListen = async ({ host, port }: Address): Promise<string | undefined> => {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return String((error as { code?: unknown }).code);
  } finally {
    server.close();
  }
};

const HEALTH_TIMEOUT_MS = 2_000;

/** Whether a gateway's control plane is there. */
const answers = async (address: Address): Promise<boolean> => {
  if (address.port === 0) return false;
  const host = address.host === '0.0.0.0' ? '127.0.0.1' : address.host === '::' ? '::1' : address.host;
  try {
    const answer = await fetch(`http://${textOf({ ...address, host })}/healthz`, {
      signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
    });
    return answer.ok && ((await answer.json()) as { status?: unknown } | null)?.status === 'ok';
  } catch {
    return false;
  }
};

const textOf = ({ host, port }: Address): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;
