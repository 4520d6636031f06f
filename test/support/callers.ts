import { PEOPLE, type TestGateway } from './gateway.ts';

/** Requests of one user before the next one's turn: fewer than a user may have under way, should none be settled yet. */
const TURN = 12;

/** Keys of many users and two teams in turn, for a test that asks often: one user's rates would end it early. */
export const callersInTurn = (gateway: TestGateway): (() => Promise<Record<'authorization', string>>) => {
  const keys: Promise<string>[] = [];
  let asked = 0;
  return async () => {
    const number = Math.floor(asked++ / TURN);
    const team = number % 2 === 0 ? 'lms' : 'nlp-lab';
    keys[number] ??= gateway.keyFor({ ...PEOPLE.service, team, user: `user-${number}` });
    return { authorization: `Bearer ${await keys[number]}` };
  };
};
