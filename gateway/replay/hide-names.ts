import type { ReplayReport, Touched } from './report.ts';

const HIDDEN = '(hidden)';

/** The report without the names of users and credentials: of a user only the place in the list is left. */
export const hideNames = (report: ReplayReport): ReplayReport => ({
  ...report,
  changes: report.changes.map((change) => {
    const { caller } = change.example;
    return { ...change, example: { ...change.example, caller: { ...caller, id: HIDDEN, user: HIDDEN } } };
  }),
  who: { ...report.who, user: { ...report.who.user, top: report.who.user.top.map(numbered) } },
});

const numbered = (user: Touched, index: number): Touched => ({
  ...user,
  name: user.name === '' ? '' : `user ${index + 1}`,
});
