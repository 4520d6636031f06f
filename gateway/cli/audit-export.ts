import { once } from 'node:events';
import { Command } from 'commander';
import { readAudit } from '../audit/read.ts';
import { auditHomes } from './audit-home.ts';
import { parseSince } from './audit-since.ts';

interface ExportFlags {
  home?: string;
  since?: string;
  json?: true;
}

/** `aegis audit export`: the records as JSON lines, each checked on the way. */
export const auditExportCommand = (): Command =>
  new Command('export')
    .description('print the records, one JSON object a line')
    .option('--home <folder>', 'the home whose log is meant')
    .option('--since <when>', 'not before: a date, an RFC 3339 time, or an age such as 7d, 12h, 30m')
    .option('--json', 'as it is: JSON lines')
    .action(exportRecords);

const CHUNK_CHARACTERS = 64 * 1024;

const exportRecords = async (flags: ExportFlags): Promise<void> => {
  const since = flags.since === undefined ? Number.NEGATIVE_INFINITY : parseSince(flags.since, Date.now());
  let lines = '';
  const flush = async (): Promise<void> => {
    if (!process.stdout.write(lines)) await once(process.stdout, 'drain');
    lines = '';
  };
  for (const home of auditHomes(flags.home)) {
    for await (const { record } of readAudit(home)) {
      if (!(Date.parse(record.time) >= since)) continue;
      lines += `${JSON.stringify(record)}\n`;
      if (lines.length > CHUNK_CHARACTERS) await flush();
    }
  }
  await flush();
};
