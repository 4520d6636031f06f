import type { JsonMember } from './json-scan.ts';
import type { Call, Splice } from './protocol.ts';

/** The splice that sets a top-level member of a call's body: its value is replaced, or it comes last. */
export const setMember = ({ raw, scan }: Pick<Call, 'raw' | 'scan'>, name: string, text: string): Splice => {
  const member = scan.members.get(name);
  if (member) return replaceValue(raw, member, text);
  return { start: scan.end, end: scan.end, text: `,${JSON.stringify(name)}:${text}` };
};

/**
 * The splice that replaces a member's value. It begins with the byte before the value, which stays, so that what is
 * masked of the value lies inside it and gives way.
 */
export const replaceValue = (raw: Buffer, { start, end }: Pick<JsonMember, 'start' | 'end'>, text: string): Splice => ({
  start: start - 1,
  end,
  text: String.fromCharCode(raw[start - 1]!) + text,
});
