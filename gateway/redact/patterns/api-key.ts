import { DIGIT, DOT, HYPHEN, isIn, LETTER, runEnd, UNDERSCORE } from './characters.ts';
import type { Scan } from './scan.ts';

const ALNUM = DIGIT | LETTER;
const WORD = ALNUM | UNDERSCORE | HYPHEN;

/** A key's published shape: a prefix, then at least `min` characters of `body`. */
interface KeyShape {
  readonly kind: string;
  readonly prefix: string;
  readonly body: number;
  readonly min: number;
  /** A further condition on the first characters of the body, where the prefix alone occurs in ordinary text. */
  readonly accepts?: (text: string, from: number, end: number) => boolean;
}

const hasDigit = (text: string, from: number, end: number): boolean => /[0-9]/.test(text.slice(from, end));

/** `sk-` also starts the class names of CSS spinners; those are words joined by hyphens. */
const hasLongRun = (text: string, from: number, end: number): boolean => {
  for (let at = from, run = 0; at < end; at++) {
    run = isIn(text, at, ALNUM) ? run + 1 : 0;
    if (run === 16) return true;
  }
  return false;
};

/** Shapes by the publishers' documentation; where none is published, by the keys they issue. Longest prefix first. */
const SHAPES: readonly KeyShape[] = [
  { kind: 'anthropic', prefix: 'sk-ant-', body: WORD, min: 20 },
  { kind: 'openai', prefix: 'sk-proj-', body: WORD, min: 20 },
  { kind: 'openai', prefix: 'sk-svcacct-', body: WORD, min: 20 },
  { kind: 'openai', prefix: 'sk-admin-', body: WORD, min: 20 },
  { kind: 'openrouter', prefix: 'sk-or-v1-', body: WORD, min: 20 },
  { kind: 'openai', prefix: 'sk-', body: WORD, min: 20, accepts: hasLongRun },
  { kind: 'gitlab', prefix: 'glpat-', body: WORD | DOT, min: 20 },
  ...['xoxa-', 'xoxb-', 'xoxp-', 'xoxr-', 'xoxs-', 'xoxe-', 'xapp-'].map((prefix) => ({
    kind: 'slack',
    prefix,
    body: ALNUM | HYPHEN,
    min: 10,
    accepts: hasDigit,
  })),
  { kind: 'xai', prefix: 'xai-', body: ALNUM, min: 40 },
  { kind: 'pypi', prefix: 'pypi-AgE', body: WORD, min: 50 },
  ...['ghp_', 'gho_', 'ghs_', 'ghu_', 'ghr_'].map((prefix) => ({ kind: 'github', prefix, body: ALNUM, min: 36 })),
  { kind: 'github', prefix: 'github_pat_', body: ALNUM | UNDERSCORE, min: 50 },
  ...['sk_live_', 'rk_live_', 'sk_test_', 'rk_test_'].map((prefix) => ({
    kind: 'stripe',
    prefix,
    body: ALNUM,
    min: 16,
  })),
  { kind: 'stripe', prefix: 'whsec_', body: ALNUM, min: 24 },
  { kind: 'huggingface', prefix: 'hf_', body: ALNUM, min: 30 },
  { kind: 'npm', prefix: 'npm_', body: ALNUM, min: 36 },
  { kind: 'groq', prefix: 'gsk_', body: ALNUM, min: 40 },
  { kind: 'docker', prefix: 'dckr_pat_', body: WORD, min: 20 },
  { kind: 'digitalocean', prefix: 'dop_v1_', body: ALNUM, min: 64 },
  { kind: 'aegis', prefix: 'aeg_live_', body: WORD, min: 32 },
  { kind: 'aegis', prefix: 'aeg_once_', body: WORD, min: 32 },
];

/** Shapes by the character before their first `-` or `_`, which is what the search stops at. */
const BY_LAST_LETTER: readonly (readonly HeadedShape[] | undefined)[] = (() => {
  const table: HeadedShape[][] = [];
  for (const shape of SHAPES) {
    const head = shape.prefix.search(/[-_]/);
    const code = shape.prefix.charCodeAt(head - 1);
    const shapes = table[code] ?? [];
    table[code] = shapes;
    shapes.push({ ...shape, head });
  }
  return table;
})();
type HeadedShape = KeyShape & { readonly head: number };

/** Enough of a body to judge it. A body that is accepted is taken to its end, however long. */
const JUDGED_LENGTH = 64;

/** The end of a body of `shape` at `from`, or -1. */
const bodyEnd = (text: string, from: number, shape: KeyShape): number => {
  const judged = runEnd(text, from, shape.body, JUDGED_LENGTH);
  if (judged - from < shape.min) return -1;
  if (shape.accepts && !shape.accepts(text, from, judged)) return -1;
  if (new Set(text.slice(from, from + shape.min)).size < 4) return -1; // `sk-xxxxxxxxxxxxxxxxxxxx` of a manual
  return runEnd(text, judged, shape.body);
};

const scanSeparator = (text: string, separator: string, found: Parameters<Scan>[1]): void => {
  let at = text.indexOf(separator);
  while (at !== -1) {
    let next = at + 1;
    for (const shape of BY_LAST_LETTER[text.charCodeAt(at - 1)] ?? []) {
      const start = at - shape.head;
      if (!text.startsWith(shape.prefix, start) || isIn(text, start - 1, ALNUM)) continue;
      const end = bodyEnd(text, start + shape.prefix.length, shape);
      if (end === -1) continue;
      found.push({ entity: 'api_key', start, end, kind: shape.kind });
      next = end;
      break;
    }
    at = text.indexOf(separator, next);
  }
};

/** Keys whose prefix has no separator: AWS access key ids, Google keys, SendGrid. */
const scanPrefix = (text: string, prefix: string, kind: string, shape: RegExp, found: Parameters<Scan>[1]): void => {
  let at = text.indexOf(prefix);
  while (at !== -1) {
    let next = at + prefix.length;
    shape.lastIndex = at;
    if (!isIn(text, at - 1, ALNUM) && shape.test(text)) {
      next = shape.lastIndex;
      found.push({ entity: 'api_key', start: at, end: next, kind });
    }
    at = text.indexOf(prefix, next);
  }
};

// Sticky and without alternatives, so each attempt costs at most its own length.
const AWS = /A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])/y;
const GOOGLE = /AIza[\w-]{35,}/y;
const SENDGRID = /SG\.[\w-]{16,64}\.[\w-]{32,128}/y;

/** API keys by their published prefixes. */
export const scanApiKeys: Scan = (text, found) => {
  scanSeparator(text, '-', found);
  scanSeparator(text, '_', found);
  scanPrefix(text, 'AKIA', 'aws', AWS, found);
  scanPrefix(text, 'ASIA', 'aws', AWS, found);
  scanPrefix(text, 'AIza', 'google', GOOGLE, found);
  scanPrefix(text, 'SG.', 'sendgrid', SENDGRID, found);
};
