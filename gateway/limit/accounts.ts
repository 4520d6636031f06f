import { type Account, createAccount, type SpendHistory } from './account.ts';
import type { LimitScope } from './limiter.ts';
import { drain } from './rate.ts';

/** Below this many accounts a restorable budget is kept: asking history again costs more than the memory. */
const KEEP_ACCOUNTS = 10_000;
/** A restorable budget must have been idle this long, so that the ledger has long since caught up. */
const IDLE_MS = 600_000;

/** The accounts of one limiter, swept a few at a time as new ones come. */
export interface Accounts {
  of(scope: LimitScope, subject: string, now: number): Account;
  find(scope: LimitScope, subject: string): Account | undefined;
  /** Looks at twice as many accounts as were made since the last call, plus one, and drops the idle ones. */
  sweep(now: number, wallMs: number): void;
  readonly size: number;
}

/** An empty table of accounts. With `history`, idle budgets of a current period may be dropped too. */
export const createAccounts = (history: SpendHistory | undefined): Accounts => {
  const scopes = new Map<LimitScope, Map<string, Account>>();
  let size = 0;
  let made = 0;
  const walk = function* (): Generator<Account> {
    for (const table of scopes.values()) yield* table.values();
  };
  let walker = walk();

  const find = (scope: LimitScope, subject: string): Account | undefined => scopes.get(scope)?.get(subject);

  const of = (scope: LimitScope, subject: string, now: number): Account => {
    let table = scopes.get(scope);
    if (table === undefined) {
      table = new Map();
      scopes.set(scope, table);
    }
    let account = table.get(subject);
    if (account === undefined) {
      account = createAccount(scope, subject, now);
      table.set(subject, account);
      size++;
      made++;
    }
    return account;
  };

  const sweep = (now: number, wallMs: number): void => {
    let turns = 1 + 2 * made;
    made = 0;
    for (; turns > 0 && size > 0; turns--) {
      const next = walker.next();
      if (next.done) {
        walker = walk();
        return;
      }
      const account = next.value;
      if (isIdle(account, now) && isRestorable(account, now, wallMs, size, history)) {
        scopes.get(account.scope)?.delete(account.subject);
        size--;
      }
    }
  };

  return {
    of,
    find,
    sweep,
    get size() {
      return size;
    },
  };
};

/** Whether nothing but settled spend would be lost with it. */
const isIdle = (account: Account, now: number): boolean => {
  if (account.open > 0 || account.leases > 0 || account.usedAtMs === now) return false;
  for (const rate of [account.requests, account.tokens]) {
    if (rate === undefined) continue;
    drain(rate, now);
    if (rate.level60k > 0) return false;
  }
  return true;
};

/** Whether each budget's spend is over, zero, or known to history to the last micro-dollar. */
const isRestorable = (
  account: Account,
  now: number,
  wallMs: number,
  size: number,
  history: SpendHistory | undefined,
): boolean =>
  account.budgets.every(({ scope, current }) => {
    if (current === undefined || wallMs >= current.period.endMs + IDLE_MS || current.spent === 0) return true;
    if (history === undefined || size < KEEP_ACCOUNTS || now - account.usedAtMs < IDLE_MS) return false;
    try {
      return history(scope, account.subject, current.period.startMs, current.period.endMs) >= current.spent;
    } catch {
      return false; // A store that does not answer restores nothing: keep the account.
    }
  });
