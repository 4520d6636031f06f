import type { AuditPosition } from '../../gateway/audit/read.ts';
import { readAudit } from '../../gateway/audit/read.ts';
import type { AuditIntent, AuditOutcome } from '../../gateway/types.gen.ts';
import { type TestGateway, until } from './gateway.ts';

const ORG = 'demo-university';

/** What a gateway has written down and holds back, looked at often: the audit log is read on from where it was left. */
export interface Books {
  /** The intent and the outcome of the request with this id; waits until both are in the log. Throws when there are two. */
  of(requestId: string): Promise<{ readonly intent: AuditIntent; readonly outcome: AuditOutcome }>;
  /** Every outcome so far, by intent. */
  outcomes(): Promise<ReadonlyMap<string, readonly AuditOutcome[]>>;
  /** Ids of the intents so far. */
  intents(): Promise<ReadonlyMap<string, AuditIntent>>;
  /** Micro-dollars that are reserved of the organisation's budgets. */
  reserved(): number;
  /** How many requests of the organisation the limiter thinks are under way. */
  underWay(): Promise<number>;
  /** Waits until nothing is reserved and nothing under way. */
  settled(): Promise<void>;
}

export const openBooks = (gateway: TestGateway): Books => {
  const intents = new Map<string, AuditIntent>();
  const outcomes = new Map<string, AuditOutcome[]>();
  const ids = new Map<string, string>();
  let from: AuditPosition | undefined;
  let reading = Promise.resolve();
  const readOn = async (): Promise<void> => {
    for await (const { record, next } of readAudit(gateway.home, { from })) {
      from = next;
      if (record.kind === 'intent') intents.set(record.id, record);
      if (record.kind !== 'outcome') continue;
      const id = record.id ?? record.request_id;
      ids.set(record.request_id, id);
      outcomes.set(id, [...(outcomes.get(id) ?? []), record]);
    }
  };
  /** One reader at a time. */
  const read = (): Promise<void> => {
    reading = reading.then(readOn);
    return reading;
  };
  const { limiter } = gateway.running.gateway;
  const books: Books = {
    of: (requestId) =>
      until(async () => {
        await read();
        const id = ids.get(requestId);
        const mine = id === undefined ? undefined : outcomes.get(id);
        if (id === undefined || mine === undefined) return undefined;
        if (mine.length !== 1) throw new Error(`${mine.length} outcomes of one request`);
        const intent = intents.get(id);
        if (!intent) throw new Error('an outcome without an intent');
        return { intent, outcome: mine[0]! };
      }),
    async outcomes() {
      await read();
      return outcomes;
    },
    async intents() {
      await read();
      return intents;
    },
    reserved: () =>
      limiter
        .spend([{ scope: 'org', subject: ORG }], Date.now())
        .reduce((sum, { reserved_micro_usd }) => sum + reserved_micro_usd, 0),
    async underWay() {
      const max = 1024;
      const demand = { kind: 'concurrent', scope: 'org', subject: ORG, max, amount: 1 } as const;
      const taken = await limiter.take(`probe-${Math.random()}`, ORG, [demand], Date.now());
      if (!taken.granted) return max;
      limiter.settle(taken.id, { tokens: 0, microUsd: 0 }, Date.now());
      return max - 1 - (taken.states.find(({ kind }) => kind === 'concurrent')?.remaining ?? 0);
    },
    async settled() {
      await until(async () => (books.reserved() === 0 && (await books.underWay()) === 0 ? true : undefined));
    },
  };
  return books;
};
