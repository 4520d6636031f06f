import { type Bundle, SIGNATURES_FILE } from './bundle.ts';

/** The address of a place in the policies' sources. */
export type RuleLink = (file: string, line: number) => string | undefined;

/**
 * Addresses of rules by `metadata.aegis.rule_link` of the manifest: {file} and {line} as in the explanation table, {commit}
 * from the signed claims. None where the manifest has no link, or wants a commit that nobody signed. The signature itself
 * was verified when the bundle was activated.
 */
export const ruleLinkOf = (bundle: Bundle): RuleLink => {
  const template = bundle.manifest.metadata.aegis.rule_link;
  if (template === undefined) return () => undefined;
  const commit = commitOf(bundle);
  if (commit === undefined && template.includes('{commit}')) return () => undefined;
  return (file, line) =>
    template
      .replaceAll('{file}', () => file.split('/').map(encodeURIComponent).join('/'))
      .replaceAll('{line}', String(line))
      .replaceAll('{commit}', commit ?? '');
};

/** The commit that the signer names; undefined when there is none that could stand in an address. */
const commitOf = ({ files }: Bundle): string | undefined => {
  try {
    const { signatures } = JSON.parse(files.get(SIGNATURES_FILE)?.toString('utf8') ?? '') as { signatures: string[] };
    const payload = Buffer.from(signatures[0]?.split('.')[1] ?? '', 'base64url').toString('utf8');
    const { commit } = JSON.parse(payload) as { commit?: unknown };
    return typeof commit === 'string' && /^[0-9a-zA-Z._-]{1,128}$/.test(commit) ? commit : undefined;
  } catch {
    return undefined;
  }
};
