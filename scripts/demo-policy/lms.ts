/** One answer of the gateway, as far as the demo looks at it. */
export interface Answer {
  readonly status: number;
  readonly decisionId: string;
  readonly model: string;
  readonly revision: string;
  /** Of the error; '' where there is none. */
  readonly code: string;
  readonly costUsd: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/** A learning platform: one key, many students, three kinds of questions. */
export interface Lms {
  /** Sends so many requests, a few at a time, and gives their answers in order. */
  ask(count: number): Promise<Answer[]>;
}

const AT_A_TIME = 6;
const STUDENTS = 40;
/** Where students are enrolled. The extension school has courses by the evening, which no list has. */
const COURSES = [
  'institution=MIT,course=CS101',
  'institution=HUM,course=HIST110',
  'institution=MIT,course=CS201',
  'institution=EXT,course=EVE10',
];

const CAPITALS = ['Australia', 'Canada', 'Brazil', 'Kazakhstan', 'Morocco', 'Turkey', 'Myanmar', 'New Zealand'];
const ESSAYS = [
  'Write an essay of 600 words that compares the causes of the French and the Russian revolutions, and argue for a position of your own.',
  'Explain how a hash table resolves collisions, compare two strategies, and discuss when each is to be preferred.',
  'Discuss whether the industrial revolution made workers better off. Use at least three sources and weigh them.',
];

const multipleChoice = (turn: number): object => ({
  messages: [{ role: 'user', content: `Question ${turn}: which planet is largest?\nA) Mars\nB) Jupiter\nC) Venus` }],
  max_tokens: 16,
});
const shortAnswer = (turn: number): object => ({
  messages: [
    {
      role: 'user',
      content: `Question ${turn}: what is the capital of ${CAPITALS[turn % CAPITALS.length]}? Answer with the name alone.`,
    },
  ],
  max_tokens: 16,
});
const essay = (turn: number): object => ({
  messages: [{ role: 'user', content: ESSAYS[turn % ESSAYS.length] as string }],
});

/** Of ten questions four are multiple choice, four want a short answer, and two an essay. */
const KINDS = [
  multipleChoice,
  shortAnswer,
  multipleChoice,
  shortAnswer,
  essay,
  shortAnswer,
  multipleChoice,
  essay,
  multipleChoice,
  shortAnswer,
];

/** A platform that asks at `url` with the key of its service. The same requests in the same order each time. */
export const createLms = (url: string, key: string): Lms => {
  let turn = 0;
  return {
    async ask(count) {
      const turns = Array.from({ length: count }, () => turn++);
      const answers: Answer[] = [];
      const next = turns.entries();
      const worker = async (): Promise<void> => {
        for (const [place, each] of next) answers[place] = await send(url, key, each);
      };
      await Promise.all(Array.from({ length: AT_A_TIME }, worker));
      return answers;
    },
  };
};

const send = async (url: string, key: string, turn: number): Promise<Answer> => {
  // Another student for each kind of question: 7 and 40 have no common divisor.
  const student = (turn * 7) % STUDENTS;
  const kind = KINDS[turn % KINDS.length] as (turn: number) => object;
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'x-aegis-user': `student-${student + 1}`,
      'x-aegis-session': `term-paper-${student + 1}`,
      'x-aegis-workflow': 'assistant',
      'x-aegis-tags': COURSES[student % COURSES.length] as string,
    },
    body: JSON.stringify({ model: 'auto', ...kind(turn) }),
  });
  const body = (await answer.json()) as { readonly error?: { readonly code?: string } };
  const header = (name: string): string => answer.headers.get(name) ?? '';
  return {
    status: answer.status,
    decisionId: header('x-aegis-decision-id'),
    model: header('x-aegis-model'),
    revision: header('x-aegis-policy-revision'),
    code: body.error?.code ?? '',
    costUsd: Number(header('x-aegis-cost-usd')),
    atMs: Date.now(),
  };
};

/** How answers ended, in a line: `300 answers: 120 × gpt-5.4-nano, 180 × gpt-6-sol; 0.4321 USD`. */
export const summaryOf = (answers: readonly Answer[]): string => {
  const counts = new Map<string, number>();
  for (const { status, model, code } of answers) {
    const name = status === 200 ? model : `${status} ${code}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const parts = [...counts]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, count]) => `${count} × ${name}`);
  const usd = answers.reduce((sum, { costUsd }) => sum + costUsd, 0);
  return `${answers.length} answers: ${parts.join(', ')}; ${usd.toFixed(4)} USD`;
};
