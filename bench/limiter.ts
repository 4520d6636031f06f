import type { Demand } from '../gateway/limit/limiter.ts';
import { createMemoryLimiter } from '../gateway/limit/memory.ts';

// CPU µs of one take and its settle, with 4, 8, 10 and 16 demands over 2,000 users, each demand freshly built as the
// stage does. Prints one JSON line a case: the median of 7 rounds.

const demandsOf = (count: number, user: number): Demand[] => {
  const org = `org-${user % 20}`;
  const subjects = [
    ['user', `${org}/user-${user}`],
    ['team', `${org}/team-${user % 7}`],
    ['key', `key_${user}`],
    ['org', org],
  ] as const;
  const demands: Demand[] = [];
  for (const [scope, subject] of subjects) {
    demands.push(
      { kind: 'requests', scope, subject, perMinute: 1e9, amount: 1 },
      { kind: 'tokens', scope, subject, perMinute: 1e12, amount: 800 },
      { kind: 'concurrent', scope, subject, max: 1_000, amount: 1 },
      { kind: 'spend', scope, subject, period: 'month', timezone: 'Europe/Berlin', capMicroUsd: 1e15, amount: 900 },
    );
  }
  return demands.slice(0, count);
};

const round = (count: number): number => {
  const limiter = createMemoryLimiter();
  const takes = 60_000;
  const prepared = Array.from({ length: 2_000 }, (_, user) => demandsOf(count, user));
  let now = Date.UTC(2026, 10, 24);
  const start = process.cpuUsage();
  for (let i = 0; i < takes; i++) {
    if (i % 10 === 0) now++;
    const answer = limiter.take(`req-${i}`, 'org', prepared[i % 2_000]!, now);
    if (answer instanceof Promise || !answer.granted) throw new Error('refused');
    limiter.settle(`req-${i}`, { tokens: 500, microUsd: 300 }, now);
  }
  const used = process.cpuUsage(start);
  return (used.user + used.system) / takes;
};

for (const count of [4, 8, 10, 16]) {
  const rounds = Array.from({ length: 7 }, () => round(count)).sort((a, b) => a - b);
  console.log(JSON.stringify({ demands: count, takeAndSettleUs: Number(rounds[3]!.toFixed(2)) }));
}
