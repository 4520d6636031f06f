import { Command } from 'commander';
import type { FoundDecision } from '../audit/find.ts';
import { readStoredBundle } from '../policy/bundle-store.ts';
import type { ExplanationTable } from '../policy/explanation-table.ts';
import type { BundleRef, Decision, Input } from '../types.gen.ts';
import { auditHomes, requireDecision } from './audit-home.ts';
import { readContents, type ShownContent } from './audit-show.ts';
import { explainText } from './explain-text.ts';

/** Everything that is known of one decision. */
export interface Explanation {
  readonly found: FoundDecision;
  readonly input: Input | undefined;
  readonly decision: Decision | undefined;
  readonly bundle: BundleRef | undefined;
  /** The rules that fired, in the decision's order. */
  readonly rules: readonly FiredRule[];
  /** Why the rules have no titles, when they have none. */
  readonly note: string | undefined;
  readonly contents: readonly ShownContent[];
}

/** A rule that fired; without the bundle that decided only its id is known. */
export type FiredRule = { readonly id: string } & Partial<ExplanationTable[string]>;

interface ExplainFlags {
  home?: string;
  content?: true;
  json?: true;
}

/** `aegis explain`: who asked what, what was decided by which rules, and how it went. */
export const explainCommand = (): Command =>
  new Command('explain')
    .description('show why a request was answered as it was: input, rules, route, cost, time')
    .argument('<decision-id>', 'from the answer’s x-aegis-decision-id')
    .option('--content', 'also the kept prompt and answer in clear')
    .option('--home <folder>', 'home of the gateway (default: AEGIS_HOME, else .aegis)')
    .option('--json', 'print JSON, with the whole input and decision')
    .action(async (id: string, flags: ExplainFlags) => {
      const explanation = await explain(auditHomes(flags.home), id, flags.content === true);
      console.log(flags.json ? JSON.stringify(jsonOf(explanation)) : explainText(explanation));
    });

/** Collects what the audit logs and the stored bundle know of a decision. Throws CliError when there is none of that id. */
export const explain = async (homes: readonly string[], id: string, withContent: boolean): Promise<Explanation> => {
  const { home, found } = await requireDecision(homes, id);
  const input = (found.intent?.input ?? found.outcome?.input ?? undefined) as Input | undefined;
  const decision = (found.intent?.decision ?? found.outcome?.decision ?? undefined) as Decision | undefined;
  const bundle = found.intent?.bundle ?? found.outcome?.bundle ?? undefined;
  const { table, note } = await explanationOf(home, bundle);
  const rules = (decision?.rules ?? []).map((rule) => ({ id: rule, ...table[rule] }));
  const contents = withContent ? await readContents(home, found) : [];
  return { found, input, decision, bundle, rules, note, contents };
};

/** The rules' titles and places as they were in the bundle that decided. */
const explanationOf = async (
  home: string,
  ref: BundleRef | undefined,
): Promise<{ table: ExplanationTable; note: string | undefined }> => {
  if (!ref) return { table: {}, note: undefined };
  try {
    const bundle = await readStoredBundle(home, ref.digest);
    if (bundle) return { table: bundle.manifest.metadata.aegis.rules, note: undefined };
    return { table: {}, note: 'this home does not have the bundle that decided: rules show without titles' };
  } catch (error) {
    const reason = String((error as { message?: unknown } | null)?.message ?? error);
    return { table: {}, note: `the stored bundle cannot be read (${reason}): rules show without titles` };
  }
};

const jsonOf = ({ found, input, decision, bundle, rules, note, contents }: Explanation): object => ({
  id: found.id,
  position: found.position,
  outcome: found.outcome?.outcome ?? null,
  bundle: bundle ?? null,
  rules,
  note: note ?? null,
  input: input ?? null,
  decision: decision ?? null,
  intent: found.intent ?? null,
  outcome_record: found.outcome ?? null,
  events: found.events,
  contents,
});
