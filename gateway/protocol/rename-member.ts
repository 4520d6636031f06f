import { type JsonMember, type JsonScan, tokenAfter } from './json-scan.ts';
import type { Splice } from './protocol.ts';

/** The splice that gives a top-level member of a scanned object another key. Its value stays byte for byte. */
export const renameMember = (scan: JsonScan, member: JsonMember, name: string): Splice => ({
  start: member.key,
  end: scan.ends[tokenAfter(scan, member.key + 1)]! + 1,
  text: JSON.stringify(name),
});
