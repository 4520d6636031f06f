import type { Input } from '../types.gen.ts';
import type { Scope } from './limiter.ts';
import { type BudgetPart, NONE, type Plan, type Values } from './redis-plan.ts';

/** schemas/input.json bounds `spend`. */
const MAX_SPEND_ENTRIES = 32;
/** Of each kind; the oldest are forgotten first. What is lost is a snapshot, never a count. */
const MAX_VIEWS = 50_000;

/** What this replica knows of an account. Levels are in 60,000ths. */
export interface AccountView {
  requests60k: number;
  requestsPerMinute: number;
  tokens60k: number;
  tokensPerMinute: number;
  /** When Redis said so, on the limiter's own clock. */
  atMs: number;
  /** Leases that this replica has out. */
  own: number;
}

interface BudgetView {
  part: BudgetPart;
  spent: number;
  reserved: number;
  atMs: number;
}

type Subjects = readonly { readonly scope: Scope; readonly subject: string }[];

/** What the replies of Redis told this replica, so that nothing must be asked. */
export interface Views {
  /** Takes in the numbers of a reply; of a grant also the leases. */
  learn(plan: Plan, values: Values, atMs: number): void;
  /** Counts the leases of a plan that this replica has: 1 takes them, -1 gives them back. */
  lease(plan: Plan, sign: 1 | -1): void;
  /** A settlement of this replica, known before Redis says so. */
  settle(plan: Plan, microUsd: number): void;
  account(name: string): AccountView | undefined;
  /** The budgets of these subjects in the period of `now`; `atMs` is the same moment on the limiter's own clock. */
  spend(subjects: Subjects, now: number, atMs: number): Input['spend'];
}

/** Views that know nothing yet. */
export const createViews = (): Views => {
  const accounts = new Map<string, AccountView>();
  const budgets = new Map<string, BudgetView[]>();

  const accountOf = (name: string): AccountView => {
    let view = accounts.get(name);
    if (view === undefined) {
      if (accounts.size >= MAX_VIEWS) forget(accounts, ({ own }) => own === 0);
      view = { requests60k: 0, requestsPerMinute: 0, tokens60k: 0, tokensPerMinute: 0, atMs: 0, own: 0 };
      accounts.set(name, view);
    }
    return view;
  };

  const learnBudget = (part: BudgetPart, spent: number, reserved: number, atMs: number): void => {
    const key = `${part.scope}:${part.subject}`;
    let mine = budgets.get(key);
    if (mine === undefined) {
      if (budgets.size >= MAX_VIEWS) forget(budgets, () => true);
      mine = [];
      budgets.set(key, mine);
    }
    for (const view of mine) {
      if (view.part.unit !== part.unit || view.part.timezone !== part.timezone) continue;
      if (view.part.period.startMs > part.period.startMs) return; // A late settlement of the period before.
      view.part = part;
      view.spent = spent;
      view.reserved = reserved;
      view.atMs = atMs;
      return;
    }
    mine.push({ part, spent, reserved, atMs });
  };

  return {
    learn(plan, { reply, from }, atMs) {
      let at = from;
      for (const part of plan.accounts) {
        const view = accountOf(part.name);
        view.requests60k = reply[at]!;
        view.tokens60k = reply[at + 1]!;
        if (part.maxRequests !== NONE) view.requestsPerMinute = part.maxRequests;
        if (part.maxTokens !== NONE) view.tokensPerMinute = part.maxTokens;
        view.atMs = atMs;
        at += 3;
      }
      for (const part of plan.budgets) {
        learnBudget(part, reply[at]!, reply[at + 1]!, atMs);
        at += 2;
      }
    },

    lease(plan, sign) {
      for (const part of plan.accounts) if (part.leases > 0) accountOf(part.name).own += sign * part.leases;
    },

    settle(plan, microUsd) {
      for (const part of plan.budgets) {
        const view = budgets.get(`${part.scope}:${part.subject}`)?.find((mine) => mine.part.name === part.name);
        if (view === undefined) continue;
        view.spent += microUsd;
        view.reserved = Math.max(0, view.reserved - part.amount);
      }
    },

    account: (name) => accounts.get(name),

    spend(subjects, now, atMs) {
      const entries: Input['spend'] = [];
      for (const { scope, subject } of subjects) {
        for (const { part, spent, reserved, atMs: saidMs } of budgets.get(`${scope}:${subject}`) ?? []) {
          if (entries.length === MAX_SPEND_ENTRIES) return entries;
          if (now >= part.period.endMs) continue; // Of the period that has begun nothing is known yet.
          entries.push({
            scope,
            subject,
            period: part.period.key,
            micro_usd: spent,
            reserved_micro_usd: reserved,
            cap_micro_usd: part.capMicroUsd,
            age_ms: Math.max(0, Math.round(atMs - saidMs)),
          });
        }
      }
      return entries;
    },
  };
};

/** Drops the first tenth of what may go. */
const forget = <T>(views: Map<string, T>, mayGo: (view: T) => boolean): void => {
  let left = MAX_VIEWS / 10;
  for (const [key, view] of views) {
    if (left-- <= 0) return;
    if (mayGo(view)) views.delete(key);
  }
};
