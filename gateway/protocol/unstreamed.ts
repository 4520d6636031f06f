import { memberRanges, removals } from './json-ranges.ts';
import { scanJson } from './json-scan.ts';
import { splice } from './splice.ts';

const STREAMED: ReadonlySet<string> = new Set(['stream', 'stream_options']);

/** A body of any wire format as one that asks for the whole answer at once: all else stays byte for byte. */
export const unstreamed = (raw: Buffer): Buffer => {
  const { members } = scanJson(raw);
  const names = [...members.keys()];
  return splice(
    raw,
    removals(memberRanges(members), (index) => STREAMED.has(names[index]!)),
  );
};
