import type { Org } from './redis-org.ts';
import type { BudgetPart, Plan } from './redis-plan.ts';

/** How long what was settled may be missing in history: from the record to the ledger. */
const LAG_MS = 5_000;
const BUCKET_MS = 1_000;

/** What this replica settled of late, by budget: history may not have it yet when Redis loses its memory. */
export interface Recent {
  add(org: Org, plan: Plan, microUsd: number, atMs: number): void;
  /** Micro-USD of each budget of an organisation, of the last seconds. */
  of(org: Org, atMs: number): { readonly part: BudgetPart; readonly microUsd: number }[];
}

interface Bucket {
  readonly fromMs: number;
  readonly orgs: Map<Org, Map<string, { readonly part: BudgetPart; microUsd: number }>>;
}

/** Remembers nothing yet. Times are of a clock that never runs backwards. */
export const createRecent = (): Recent => {
  const buckets: Bucket[] = [];
  const current = (atMs: number): Bucket => {
    while (buckets.length > 0 && buckets[0]!.fromMs + BUCKET_MS + LAG_MS < atMs) buckets.shift();
    let last = buckets.at(-1);
    if (last === undefined || last.fromMs + BUCKET_MS <= atMs) {
      last = { fromMs: atMs, orgs: new Map() };
      buckets.push(last);
    }
    return last;
  };
  const into = (orgs: Bucket['orgs'], org: Org, part: BudgetPart, microUsd: number): void => {
    let budgets = orgs.get(org);
    if (budgets === undefined) {
      budgets = new Map();
      orgs.set(org, budgets);
    }
    const known = budgets.get(part.name);
    if (known === undefined) budgets.set(part.name, { part, microUsd });
    else known.microUsd += microUsd;
  };
  return {
    add(org, plan, microUsd, atMs) {
      if (microUsd === 0 || plan.budgets.length === 0) return;
      const { orgs } = current(atMs);
      for (const part of plan.budgets) into(orgs, org, part, microUsd);
    },
    of(org, atMs) {
      current(atMs);
      const sums: Bucket['orgs'] = new Map();
      for (const { orgs } of buckets) {
        for (const { part, microUsd } of orgs.get(org)?.values() ?? []) into(sums, org, part, microUsd);
      }
      return [...(sums.get(org)?.values() ?? [])];
    },
  };
};
