import { Command } from 'commander';
import { localDisk } from '../audit/disk.ts';
import { type ErasedContent, erasable, eraseContents } from '../audit/erase.ts';
import type { FoundDecision } from '../audit/find.ts';
import { auditLayout } from '../audit/layout.ts';
import { openAuditLog } from '../audit/log.ts';
import { readAudit } from '../audit/read.ts';
import type { AuditRecord } from '../types.gen.ts';
import { auditHomes, requireDecision } from './audit-home.ts';
import { CliError } from './cli-error.ts';

interface EraseFlags {
  home?: string;
  user?: string;
  org?: string;
  reason: string;
  json?: true;
}

/** `aegis audit erase`: destroys kept prompts and answers for good; the records stay, and the chain stays whole. */
export const auditEraseCommand = (): Command =>
  new Command('erase')
    .description('destroy the kept prompt and answer of decisions, for good; the records stay')
    .argument('[decision-id...]', 'whose content')
    .option('--user <user>', 'of every decision of this user')
    .option('--org <org>', 'of this organisation only; alone: of every decision of it')
    .option('--reason <text>', 'why, for the record', '')
    .option('--home <folder>', 'the home whose log is meant')
    .option('--json', 'print JSON')
    .action(erase);

const erase = async (ids: string[], flags: EraseFlags, command: Command): Promise<void> => {
  const byCaller = flags.user !== undefined || flags.org !== undefined;
  if (ids.length > 0 === byCaller) command.error('error: name decision ids, or --user and --org', { exitCode: 2 });
  const homes = auditHomes(flags.home);
  // All of them are found before the first is destroyed: an unknown id erases nothing.
  const logged = byCaller ? await contentsOfCaller(homes, flags) : await contentsOfDecisions(homes, ids);
  const contents: Contents = [];
  let isRecorded = true;
  for (const [home, found] of logged) {
    await eraseContents(auditLayout(home), localDisk, found.flat(), flags.reason, Date.now());
    if (found.length > 0 && !(await record(home))) isRecorded = false;
    contents.push(...found);
  }
  const decisions = new Set(contents.map(([frame]) => frame?.id)).size;
  if (flags.json) {
    console.log(JSON.stringify({ contents: contents.length, decisions, recorded: isRecorded }));
    return;
  }
  console.log(`erased    ${plural(contents.length, 'content')} of ${plural(decisions, 'decision')}`);
  if (!isRecorded) console.log('record    the running gateway writes it into the log with its next checkpoint');
};

const plural = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** Has the log record the orders that wait. False when a running gateway has the log: then that one will. */
const record = async (home: string): Promise<boolean> => {
  try {
    const log = await openAuditLog({
      home,
      onWarning: (message, cause) => process.stderr.write(`aegis: ${message}: ${String(cause)}\n`),
    });
    await log.close();
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code === 'audit_locked') return false;
    throw error;
  }
};

/** The frames of each content. */
type Contents = (readonly ErasedContent[])[];

/** The contents by the folder whose log has them. */
type LoggedContents = Map<string, Contents>;

const contentsOfDecisions = async (homes: readonly string[], ids: readonly string[]): Promise<LoggedContents> => {
  const contents: LoggedContents = new Map();
  for (const id of ids) {
    const { home, found } = await requireDecision(homes, id);
    const own = contentsOfFound(found);
    // What a mirror was asked is the same prompt.
    for (const mirror of found.mirrors ?? [])
      own.push(...contentsOfFound((await requireDecision([home], mirror)).found));
    if (own.length === 0) throw new CliError(`decision ${id} has no kept content; nothing was erased`);
    contents.set(home, [...(contents.get(home) ?? []), ...own]);
  }
  return contents;
};

const contentsOfFound = ({ intent, outcome }: FoundDecision): Contents =>
  [intent, outcome].map((record) => (record ? erasable(record) : [])).filter(({ length }) => length > 0);

const contentsOfCaller = async (homes: readonly string[], flags: EraseFlags): Promise<LoggedContents> => {
  const contents: LoggedContents = new Map();
  for (const home of homes) contents.set(home, await contentsIn(home, flags));
  return contents;
};

const contentsIn = async (home: string, { user, org }: EraseFlags): Promise<Contents> => {
  const contents: Contents = [];
  for await (const { record: entry } of readAudit(home)) {
    const content = erasable(entry);
    const caller = callerOf(entry);
    if (content.length === 0 || !caller) continue;
    if ((user === undefined || caller.user === user) && (org === undefined || caller.org === org))
      contents.push(content);
  }
  return contents;
};

/** Whose a record is: the end user's where the caller acted for one. */
const callerOf = (entry: AuditRecord): { org?: string; user?: string } | null | undefined => {
  if (entry.kind === 'outcome') return entry.caller;
  if (entry.kind !== 'intent') return undefined;
  const { caller } = entry.input as { caller?: { org?: string; user?: string } };
  const { acting_for: endUser } = entry.decision as { acting_for?: string | null };
  return endUser ? { ...caller, user: endUser } : caller;
};
