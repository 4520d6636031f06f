import { setTimeout as pause } from 'node:timers/promises';
import { addShortAnswers, FORGOTTEN, GUARDED, NAIVE, ORGANIZATIONS, ROUTING } from './demo-policy/changes.ts';
import { type Answer, createLms, type Lms, summaryOf } from './demo-policy/lms.ts';
import { createNarrator, type Narrator, type Shown } from './demo-policy/narrator.ts';
import { type Finished, openScratch, type Scratch } from './demo-policy/scratch.ts';

// `make demo-policy`: the life of a policy, from the edit of a rule to a bad one that takes itself back. Real commands, a real
// gateway with the sandbox provider, callers that are made up; all of it in a temporary folder. Exit 1 when a step does not
// do what is told of it.

/** What the steps share. */
interface Stage {
  readonly scratch: Scratch;
  readonly narrator: Narrator;
}

/** Enough to judge by, on a machine that may be busy; a gateway of one's own keeps the defaults. */
const GUARDS = ['--guard', 'min_requests=40', '--guard', 'max_evaluation_p99_ms=off'];
const KEYS = ['--key', 'bundles/keys/release.pub.pem'];
const BUNDLES = ['--bundles', 'bundles'];
const LOGGED_REQUESTS = 300;
const BATCH_REQUESTS = 60;
/** Of an explanation: how it ended, why, what would have been allowed, and the rule with its place. */
const EXPLAINED =
  /^DENIED|^why|^ {2}(?:decision|at|message|hint|rule) |^needed|unknown_course|x-aegis-tags|Unknown course/;
/** How often a rollout is looked at before the demo says that it does not come about. */
const LOOKS = 20;
const PAUSE_MS = 300;

/** How a command must end, what it must say, and what is shown of it. */
interface Expected {
  readonly code?: number;
  readonly says?: RegExp;
  readonly shown?: Shown;
  /** The same command, when it was begun before. */
  readonly begun?: Promise<Finished>;
}

/** Runs a command and shows what came of it. Throws when it did not end, or did not say, what the story needs. */
const show = async (
  { scratch, narrator }: Stage,
  args: readonly string[],
  { shown = {}, code = 0, says, begun }: Expected = {},
): Promise<void> => {
  narrator.command(`./aegis ${args.map((arg) => (/[\s{"]/.test(arg) ? `'${arg}'` : arg)).join(' ')}`);
  const finished = await (begun ?? scratch.aegis(...args));
  if (finished.code !== code || says?.test(finished.output) === false) {
    throw new Error(`it ended with ${finished.code}, not ${code}, or did not say ${says}:\n${finished.output}`);
  }
  narrator.output(finished.output, shown);
};

/** Runs a command of which nothing is shown. */
const quietly = async ({ scratch }: Stage, ...args: string[]): Promise<string> => {
  const { code, output } = await scratch.aegis(...args);
  if (code !== 0) throw new Error(`./aegis ${args.join(' ')} ended with ${code}:\n${output}`);
  return output;
};

const openLms = async (stage: Stage): Promise<Lms> => {
  const build = quietly(stage, 'build', 'policies', '-o', 'bundles/today.tar.gz', '--key', 'release.key.pem');
  const grant = ['--org', 'demo-university', '--team', 'lms', '--roles', 'service'];
  const [printed] = await Promise.all([quietly(stage, 'keys', 'create', ...grant, '--json'), build]);
  await stage.scratch.append('bundles/rollout.yaml', 'stable: "today.tar.gz"\n');
  const { secret } = JSON.parse(printed.slice(printed.indexOf('{'), printed.indexOf('}') + 1)) as { secret: string };
  return createLms(await stage.scratch.serve(), secret);
};

const changeRule = async (stage: Stage): Promise<void> => {
  const { scratch, narrator } = stage;
  narrator.part(
    'Change a rule',
    'The learning platform asks many questions that want a word or two. They go to a strong model, like essays.',
    'Those with room for a few tokens only shall go to a cheap one:',
  );
  await addShortAnswers(scratch);
  narrator.command(`$EDITOR ${ROUTING}`);
  narrator.output(NAIVE.trim().replaceAll(/^/gm, '+ '));
};

const CHECK = ['check', 'policies'];
const TEST = ['test', 'policies', '--only', 'few.tokens'];
const BUILD = ['build', 'policies', '-o', 'build/short-answers.tar.gz'];

const checkIt = async (stage: Stage): Promise<void> => {
  const { scratch, narrator } = stage;
  narrator.part('Check', 'It looks right, and is not: most requests have no such bound.');
  await show(stage, CHECK, { code: 1, says: /routing\.rego:\d+:\d+.*\[null-order\]/ });
  narrator.say('', 'Every request without a bound would have gone to a cheap model. So:');
  await scratch.edit(ROUTING, GUARDED);
  narrator.command(`$EDITOR ${ROUTING}`);
  narrator.output(`${GUARDED[0].replace(/^/, '- ')}${GUARDED[1].trimEnd().replaceAll(/^/gm, '+ ')}`);
};

/** Check, test and build read the same files, so they run side by side. */
const proveIt = async (stage: Stage, logged: Promise<Answer[]>): Promise<void> => {
  const { narrator, scratch } = stage;
  const [checked, tested, built] = [scratch.aegis(...CHECK), scratch.aegis(...TEST), scratch.aegis(...BUILD)];
  await show(stage, CHECK, { begun: checked, says: /no findings/ });
  narrator.part(
    'Test',
    'A unit test and a scenario came with the rule: a real request, and what must become of it. These alone here;',
    '`./aegis test` runs all, which takes a minute and is what CI does.',
  );
  await show(stage, TEST, { begun: tested, says: /scenarios +1 passed/ });
  narrator.part('Replay', 'Meanwhile the platform has asked the gateway, under the policy of today:');
  narrator.output(summaryOf(await logged));
  narrator.say('', 'What would the new rule have made of them?');
  await show(stage, BUILD, { begun: built, shown: { first: 3 } });
  const guards = ['--max-new-denials', '0.1%', '--max-cost-increase', '5%'];
  const replay = [
    'replay',
    '--bundle',
    'build/short-answers.tar.gz',
    '--unsigned',
    '--since',
    '1h',
    ...guards,
    ...KEYS,
  ];
  await show(stage, replay, { says: /cost at the same tokens.*USD, -/, shown: { before: /^Cost by organisation/ } });
};

const signIt = async (stage: Stage): Promise<void> => {
  stage.narrator.part(
    'Sign',
    'No new denial, and cheaper. The key of the release signs it; gateways take nothing else.',
  );
  const expires = new Date(Date.now() + 30 * 86_400_000).toISOString().replace(/T.*/, 'T00:00:00Z');
  const to = ['-o', 'bundles/short-answers.tar.gz', '--key', 'release.key.pem', '--expires', expires];
  await show(stage, ['sign', 'build/short-answers.tar.gz', ...to]);
  await show(stage, ['verify', 'bundles/short-answers.tar.gz', ...KEYS], { says: /^good/, shown: { first: 5 } });
};

/** Asks for the status again and again, with traffic in between, until it says so; shows that one. */
const follow = async (stage: Stage, lms: Lms, says: RegExp, shown: Shown): Promise<Answer[]> => {
  const answers: Answer[] = [];
  for (let look = 1; ; look++) {
    answers.push(...(await lms.ask(BATCH_REQUESTS)));
    await pause(PAUSE_MS);
    const { output } = await stage.scratch.aegis('rollout', 'status');
    if (says.test(output)) {
      stage.narrator.output(summaryOf(answers));
      stage.narrator.command('./aegis rollout status');
      stage.narrator.output(output, shown);
      return answers;
    }
    if (look === LOOKS) throw new Error(`the rollout did not come to ${says}:\n${output}`);
  }
};

const shadowIt = async (stage: Stage, lms: Lms): Promise<void> => {
  const { narrator } = stage;
  narrator.part('Shadow', 'The candidate decides beside the policy of today, and nobody notices:');
  const file = 'short-answers.tar.gz';
  await show(stage, ['rollout', 'shadow', file, ...BUNDLES, ...GUARDS], { shown: { only: /^[+-] / } });
  narrator.say('', 'The platform goes on asking.');
  await follow(stage, lms, /max_cost_increase.*│ +\d{2,} │ ok/, {
    from: /^stage/,
    before: /^max_error_rate_increase:|^measured/,
  });
};

const canaryIt = async (stage: Stage, lms: Lms): Promise<void> => {
  const { narrator } = stage;
  narrator.part('Canary, then all', 'A quarter of the sessions are decided by it. Each session stays on its side.');
  await show(stage, ['rollout', 'canary', '25', '--by', 'session', ...BUNDLES], { shown: { only: /^[+-] / } });
  await follow(stage, lms, /^candidate +\d{2,} requests/m, { only: /^(?:stage|stable +\d|candidate +\d)/ });
  narrator.say('', 'The guards are content. It becomes the policy of all:');
  await show(stage, ['rollout', 'promote', ...BUNDLES], { shown: { only: /^[+-] / } });
};

/** The bad candidate. Gives a decision of it that refused what stable allows. */
const failIt = async (stage: Stage, lms: Lms): Promise<string> => {
  const { scratch, narrator } = stage;
  narrator.part(
    'A bad candidate takes itself back',
    'Somebody enters the courses of the next term, in a hurry: no test, no replay, no shadow. One course is forgotten.',
  );
  await scratch.edit(ORGANIZATIONS, FORGOTTEN);
  narrator.command(`$EDITOR ${ORGANIZATIONS}`);
  narrator.output(`- ${FORGOTTEN[0]}+ ${FORGOTTEN[1]}`);
  const file = 'next-term.tar.gz';
  const build = ['build', 'policies', '-o', `bundles/${file}`, '--key', 'release.key.pem'];
  await show(stage, build, { shown: { first: 3 } });
  const canary = ['rollout', 'canary', '50', file, '--by', 'session', ...BUNDLES, ...GUARDS];
  await show(stage, canary, { shown: { only: /^[+-] / } });
  const answers = await follow(stage, lms, /ROLLED BACK/, { from: /^stage/, before: /^see/ });
  const after = await lms.ask(BATCH_REQUESTS);
  const refused = answers.filter(({ status }) => status === 403);
  const [first] = refused;
  if (first === undefined) throw new Error('the bad candidate refused nobody');
  if (after.some(({ status }) => status !== 200)) throw new Error('the bad candidate still decides');
  const clock = new Date(first.atMs).toISOString().slice(11, 19);
  narrator.say(
    '',
    `Nobody was asked. ${refused.length} requests were refused, the first at ${clock}. All are served again:`,
  );
  narrator.output(summaryOf(after));
  return first.decisionId;
};

const explainIt = async (stage: Stage, decisionId: string): Promise<void> => {
  stage.narrator.part('Explain', 'What happened to those who were refused? Each answer has its decision’s id.');
  await show(stage, ['explain', decisionId], {
    says: /access\.unknown_course +policies\/rules\/access\/access\.rego:\d+/,
    shown: { only: EXPLAINED },
  });
};

const summary = ({ narrator }: Stage): void => {
  const { ms } = narrator.told;
  narrator.say(
    '',
    'That was the life of a policy:',
    '   check     found a rule that fails open before it ran, with its place and the fix',
    '   test      a unit test and a scenario came with the rule',
    '   replay    real traffic decided anew: who is touched, and what it costs',
    '   sign      gateways take what the release key signed, and nothing else',
    '   shadow    measured beside the policy of today, without effect',
    '   canary    a share of the sessions first, then all',
    '   guards    a bad candidate was taken back by itself, within seconds, and says why',
    '   explain   names the rule, its file and line, and what would have been allowed',
    '',
    `${Math.round(ms / 1000)} seconds. The same with policies of your own: docs/policy-guide.md.`,
  );
};

const stage: Stage = {
  scratch: await openScratch(),
  narrator: createNarrator((text) => process.stdout.write(text), process.stdout.isTTY === true),
};
process.once('SIGINT', () => void stage.scratch.remove().finally(() => process.exit(130)));
try {
  const { narrator, scratch } = stage;
  narrator.say(`The life of a policy, in a copy of policies/ and with a gateway of its own: ${scratch.folder}`);
  const lms = await openLms(stage);
  const logged = lms.ask(LOGGED_REQUESTS);
  logged.catch(() => undefined); // heard where it is awaited
  await changeRule(stage);
  await checkIt(stage);
  await proveIt(stage, logged);
  await signIt(stage);
  await shadowIt(stage, lms);
  await canaryIt(stage, lms);
  await explainIt(stage, await failIt(stage, lms));
  summary(stage);
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  await stage.scratch.remove();
}
