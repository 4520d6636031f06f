import { writeSync } from 'node:fs';
import { openAuditLog } from '../../gateway/audit/log.ts';
import { answerPieces, contentOf, intentOf, outcomeOf } from './audit.ts';

// A process that appends under load until it is killed. It prints the id of each acknowledged record, in one write a line.

const [home, run] = process.argv.slice(2) as [string, string];
const started = performance.now();
const log = await openAuditLog({ home, segmentBytes: 256 * 1024, checkpointMs: 30 });
writeSync(1, `open ${performance.now() - started} ${log.openIntents.length}\n`);
for (const { id } of log.openIntents) {
  await log.append(outcomeOf(id, { outcome: 'unknown' }));
  writeSync(1, `outcome ${id}\n`);
}
writeSync(1, 'ready\n');

/** An outcome whose answer goes to the disk while others do. */
const longAnswer = async (id: string): Promise<void> => {
  const [rest, ...pieces] = answerPieces(id).toReversed() as [string, ...string[]];
  const draft = log.openContent(30);
  for (const piece of pieces.toReversed()) await draft.write([Buffer.from(piece)]);
  await log.append(outcomeOf(id), { chunks: [Buffer.from(rest)], retentionDays: 30, draft });
};

const request = async (caller: number): Promise<void> => {
  for (let index = 0; ; index++) {
    const id = `run${run}-${caller}-${index}`;
    await log.append(intentOf(id), index % 4 === 0 ? contentOf(`prompt of ${id}`.repeat(20)) : undefined);
    writeSync(1, `intent ${id}\n`);
    if (index % 5 === 0) await longAnswer(id);
    else await log.append(outcomeOf(id));
    writeSync(1, `outcome ${id}\n`);
  }
};
await Promise.all(Array.from({ length: 32 }, (_, caller) => request(caller)));
