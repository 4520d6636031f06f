import { Command } from 'commander';
import { ContentReader } from '../audit/content.ts';
import type { FoundDecision } from '../audit/find.ts';
import { auditLayout } from '../audit/layout.ts';
import type { AuditIntent, AuditOutcome } from '../types.gen.ts';
import { auditHomes, requireDecision } from './audit-home.ts';

/** `aegis audit show`: the records of one decision as they are, and the content in clear. */
export const auditShowCommand = (): Command =>
  new Command('show')
    .description('print the records of a decision and its decrypted content')
    .argument('<decision-id>', 'from the answer’s x-aegis-decision-id')
    .option('--home <folder>', 'the home whose log is meant')
    .option('--json', 'print JSON')
    .action(show);

const show = async (id: string, flags: { home?: string; json?: true }): Promise<void> => {
  const { home, found } = await requireDecision(auditHomes(flags.home), id);
  const contents = await readContents(home, found);
  const records = [found.intent, found.outcome, ...found.events].filter((record) => record !== undefined);
  if (flags.json) {
    console.log(JSON.stringify({ id, position: found.position, records, contents }));
    return;
  }
  for (const record of records) console.log(`${record.kind}\n${indent(JSON.stringify(record, null, 2))}\n`);
  for (const { of, text, reason } of contents) console.log(`${of}\n${indent(text ?? `(${reason})`)}\n`);
};

/** A prompt or answer that was kept: its text, or why there is none any more. */
export interface ShownContent {
  readonly of: 'prompt' | 'answer';
  readonly text: string | null;
  readonly reason: string | null;
}

/** The contents of a decision in clear. */
export const readContents = async (home: string, found: FoundDecision): Promise<ShownContent[]> => {
  const reader = new ContentReader(auditLayout(home));
  const shown: ShownContent[] = [];
  const read = async (of: ShownContent['of'], record: AuditIntent | AuditOutcome | undefined): Promise<void> => {
    if (!record?.content) return;
    const bytes = await reader.decrypt(record.content);
    const wasErased = found.events.some(({ event }) => event === 'content_erased');
    const reason = bytes
      ? null
      : wasErased
        ? 'erased'
        : 'no longer there: its retention is over, or see aegis audit verify';
    shown.push({ of, text: bytes?.toString('utf8') ?? null, reason });
  };
  try {
    await read('prompt', found.intent);
    await read('answer', found.outcome);
  } finally {
    await reader.close();
  }
  return shown;
};

/** The text moved in by two columns. */
export const indent = (text: string): string => text.replaceAll(/^(?=.)/gm, '  ');
