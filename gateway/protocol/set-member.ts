import type { JsonScan } from './json-scan.ts';
import type { Splice } from './protocol.ts';

/** The splice that sets a top-level member of a body that has one already: its value is replaced, or it comes last. */
export const setMember = (scan: JsonScan, name: string, text: string): Splice => {
  const member = scan.members.get(name);
  if (member) return { start: member.start, end: member.end, text };
  return { start: scan.end, end: scan.end, text: `,${JSON.stringify(name)}:${text}` };
};
