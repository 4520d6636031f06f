import { Command, Option } from 'commander';
import { type Explanation, explainRecords, explanationJson } from '../explain/explanation.ts';
import { auditHomes, requireDecision } from './audit-home.ts';
import { readContents, type ShownContent } from './audit-show.ts';
import { explainText } from './explain-text.ts';
import { TRACE_LEVELS, type Trace, type TraceLevel, traceDecision } from './explain-trace.ts';

/** An explanation with what only the home's own people see. */
export interface FullExplanation extends Explanation {
  readonly contents: readonly ShownContent[];
  readonly trace: Trace | undefined;
}

interface ExplainFlags {
  home?: string;
  content?: true;
  trace?: TraceLevel | true;
  json?: true;
}

/** `aegis explain`: who asked what, what was decided by which rules, which models were considered, and how it went. */
export const explainCommand = (): Command =>
  new Command('explain')
    .description('show why a request was answered as it was: input, rules, models considered, cost, time')
    .argument('<decision-id>', 'from the answer’s x-aegis-decision-id')
    .option('--content', 'also the kept prompt and answer in clear')
    .addOption(
      new Option(
        '--trace [level]',
        'run the recorded input through the compiler’s interpreter: fails (what did not hold; the default), notes or full',
      ).choices(TRACE_LEVELS),
    )
    .option('--home <folder>', 'home of the gateway (default: AEGIS_HOME, else .aegis)')
    .option('--json', 'print JSON, with the whole input and decision')
    .action(async (id: string, flags: ExplainFlags) => {
      const level = flags.trace === true ? 'fails' : flags.trace;
      const explanation = await explain(auditHomes(flags.home), id, { content: flags.content === true, trace: level });
      console.log(flags.json ? JSON.stringify(jsonOf(explanation)) : explainText(explanation));
    });

/** Collects what the audit logs and the stored bundle know of a decision. Throws CliError when there is none of that id. */
export const explain = async (
  homes: readonly string[],
  id: string,
  { content = false, trace }: { content?: boolean; trace?: TraceLevel | undefined } = {},
): Promise<FullExplanation> => {
  const { home, found } = await requireDecision(homes, id);
  const explanation = await explainRecords(found, [home, ...homes]);
  return {
    ...explanation,
    contents: content ? await readContents(home, found) : [],
    trace: trace && (await traceDecision(explanation, [home, ...homes], trace)),
  };
};

const jsonOf = (explanation: FullExplanation): object => ({
  ...explanationJson(explanation),
  contents: explanation.contents,
  ...(explanation.trace && { trace: explanation.trace }),
});
