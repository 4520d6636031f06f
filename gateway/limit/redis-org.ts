import type { BudgetPart, Plan } from './redis-plan.ts';

/** What this replica keeps of an organisation in Redis. */
export interface Org {
  /** With what all of its keys begin. */
  readonly tag: string;
  /** The epoch in which this replica's reservations were made; 0 before the first. Another one in Redis means a loss. */
  epoch: number;
  /** Set while this replica tells Redis what it has forgotten. */
  recovery: Promise<void> | undefined;
}

/** A name has one hash tag whatever is in it; `o:` keeps it from being empty. Lone surrogates, which no URI takes, are replaced. */
export const createOrg = (prefix: string, name: string): Org => ({
  tag: `${prefix}:{o:${encodeURIComponent(name.toWellFormed())}}:`,
  epoch: 0,
  recovery: undefined,
});

/** The keys that every script takes first. */
export const reservationKeys = ({ tag }: Org, id: string): string[] => [`${tag}m`, `${tag}x`, `${tag}r:${id}`];

/** Those, and what a plan touches. */
export const keysOf = (org: Org, id: string, plan: Pick<Plan, 'accounts' | 'budgets'>): string[] => {
  const keys = reservationKeys(org, id);
  for (const { name } of plan.accounts) keys.push(org.tag + name);
  for (const { name } of plan.budgets) keys.push(org.tag + name);
  return keys;
};

/** A reservation as the sweep reads it: whose it is, the leases and the budgets it holds. */
export const reservationText = (owner: string, plan: Pick<Plan, 'accounts' | 'budgets'>): string => {
  const leases: [string, number][] = [];
  for (const part of plan.accounts) if (part.leases > 0) leases.push([part.name, part.leases]);
  const budgets = plan.budgets.map(({ name, amount }: BudgetPart): [string, number] => [name, amount]);
  return JSON.stringify([owner, leases, budgets]);
};
