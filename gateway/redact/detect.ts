import { foldText } from './fold.ts';
import { scanApiKeys } from './patterns/api-key.ts';
import { scanEmails } from './patterns/email.ts';
import { scanIpv6 } from './patterns/ip.ts';
import { scanJwts } from './patterns/jwt.ts';
import { scanNumbers } from './patterns/number.ts';
import { scanPrivateKeys } from './patterns/pem.ts';
import type { Scan } from './patterns/scan.ts';
import type { Detector, Entity, Finding } from './redactor.ts';

const SCANS: readonly Scan[] = [scanPrivateKeys, scanJwts, scanApiKeys, scanEmails, scanIpv6, scanNumbers];

/** Which entity an overlap belongs to: the worst to lose first, then the most certain. */
const RANK: Record<Entity, number> = { api_key: 0, email: 1, iban: 2, card: 3, us_ssn: 4, ip: 5, phone: 6 };

const better = (a: Finding, b: Finding): Finding => (RANK[b.entity] < RANK[a.entity] ? b : a);

/**
 * Sorted and disjoint. Findings that overlap become one over both, of the entity that ranks first: nothing that any
 * scan found is left standing.
 */
const settle = (found: Finding[]): Finding[] => {
  if (found.length < 2) return found;
  found.sort((a, b) => a.start - b.start || a.end - b.end);
  const settled: Finding[] = [];
  for (const finding of found) {
    const last = settled.at(-1);
    if (last === undefined || finding.start >= last.end) settled.push(finding);
    else
      settled[settled.length - 1] = {
        ...better(last, finding),
        start: last.start,
        end: Math.max(last.end, finding.end),
      };
  }
  return settled;
};

/**
 * The built-in detector: one scanner a group of entities, each linear in the text (docs/redaction.md says what is
 * found and what is not). Findings are sorted by position. Never throws.
 */
export const createDetector = (): Detector => ({
  name: 'patterns',
  detect(text) {
    const folded = foldText(text);
    const found: Finding[] = [];
    for (const scan of SCANS) scan(folded, found);
    return settle(found);
  },
});
