import { describe, expect, test } from '@jest/globals';
import type { AuditLog } from '../../gateway/audit/audit-log.ts';
import { conclude } from '../../gateway/conclude.ts';
import { GatewayError } from '../../gateway/errors.ts';
import type { Gateway } from '../../gateway/gateway.ts';
import type { Ending } from '../../gateway/outcome.ts';
import { timedAudit } from '../../gateway/timed-audit.ts';
import type { AuditRecord } from '../../gateway/types.gen.ts';
import { endingOf, exchangeOf } from '../support/exchanges.ts';
import { NO_TELEMETRY } from '../support/no-telemetry.ts';

const RECORD = {} as AuditRecord;
const REF = { segment: 'a', offset: 0 };

const refuse = async (): Promise<never> => {
  throw new GatewayError('audit_unavailable', 'The disk is full.');
};

const logWith = (append: AuditLog['append']): AuditLog & { healthy: boolean } => ({
  append,
  openContent: () => {
    throw new TypeError('not here');
  },
  healthy: true,
  close: async () => {},
});

describe('a timed audit log', () => {
  const told: [string, object, number][] = [];
  const telemetry = { record: (...args: [string, object, number]) => void told.push(args) };

  test('gives what the log gives, and tells the time of it', async () => {
    const log = logWith(async () => REF as never);
    const timed = timedAudit(log, telemetry);
    expect(await timed.append(RECORD)).toBe(REF);
    expect(told.splice(0)).toEqual([['aegis.audit.append.duration', { result: 'ok' }, expect.any(Number)]]);
    log.healthy = false;
    expect(timed.healthy).toBe(false);
  });

  test('fails as the log fails, and tells that too', async () => {
    await expect(timedAudit(logWith(refuse), telemetry).append(RECORD)).rejects.toMatchObject({
      code: 'audit_unavailable',
    });
    expect(told.splice(0)).toEqual([['aegis.audit.append.duration', { result: 'failed' }, expect.any(Number)]]);
  });
});

describe('the end of a request', () => {
  const ended = async (append: AuditLog['append'], isKnown = true, mayRecord = true) => {
    const endings: Ending[] = [];
    const counted: string[] = [];
    const gateway = {
      audit: logWith(append),
      strangers: { record: () => mayRecord },
      telemetry: {
        ...NO_TELEMETRY,
        finished: (_: unknown, ending: Ending) => void endings.push(ending),
        count: (name: string) => void counted.push(name),
      },
      limiter: { settle: () => {} },
    } as unknown as Gateway;
    const x = exchangeOf();
    for (const name of Object.keys(x.products)) {
      if (name !== 'caller' || !isKnown) delete (x.products as Record<string, unknown>)[name];
    }
    const done = conclude(gateway, x, endingOf());
    await done.catch(() => undefined);
    await conclude(gateway, x, endingOf({ status: 500 }));
    return { done, endings, counted };
  };

  test('is counted once, after it is on record', async () => {
    const order: string[] = [];
    const { endings } = await ended(async () => {
      order.push('recorded');
      return REF as never;
    });
    expect([order, endings]).toEqual([['recorded'], [endingOf()]]);
  });

  test('that could not be recorded is counted as that', async () => {
    const { done, endings } = await ended(refuse);
    await expect(done).rejects.toMatchObject({ code: 'audit_unavailable' });
    expect(endings).toEqual([endingOf({ outcome: 'failed', status: 503, error: 'audit_unavailable' })]);
  });

  test('of a stranger beyond the bound is counted though it is not recorded', async () => {
    const { endings, counted } = await ended(refuse, false, false);
    expect([endings, counted]).toEqual([[endingOf()], ['aegis.audit.suppressed']]);
  });
});
