import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Manifest } from '../types.gen.ts';
import { type Bundle, ENTRYPOINTS, readBundle, sha256 } from './bundle.ts';
import { CHECKOUT, type Compiler, OPA_VERSION } from './compiler.ts';
import { explanationTable } from './explanation-table.ts';
import { requireOpa } from './opa.ts';
import type { SignatureClaims } from './signature.ts';

/** What `aegis build` makes a bundle from. */
export interface BuildOptions {
  /** Folder of the policies. */
  policies: string;
  sequence: number;
  compiler: Compiler;
  /** Signs in OPA's format; without it the bundle is not signed and will not be activated. */
  signing?: { keyFile: string; algorithm: string; claims: SignatureClaims };
}

/** A bundle as a file, and unpacked. */
export interface BuiltBundle {
  packed: Buffer;
  bundle: Bundle;
}

/**
 * Compiles a folder of policies into a bundle. The sources are staged in a temporary folder and compiled there under the
 * fixed relative path `policies`, because the path is compiled in: so the bytes depend on the sources, the sequence, the
 * input schema and the compiler's version alone. Throws an Error with the compiler's findings.
 */
export const buildBundle = async (options: BuildOptions): Promise<BuiltBundle> => {
  const { policies, sequence, compiler, signing } = options;
  const stage = await mkdtemp(join(tmpdir(), 'aegis-build-'));
  try {
    const sources = await sourceFiles(policies);
    for (const name of sources) {
      const target = join(stage, 'policies', name);
      await mkdir(dirname(target), { recursive: true });
      await cp(join(policies, name), target);
    }
    const manifest = await makeManifest(policies, await sourcesRevision(policies), sequence);
    manifest.metadata.aegis.rules = await explanationTable(compiler, stage);
    await writeFile(join(stage, 'policies', '.manifest'), JSON.stringify(manifest));
    const args = ['build', '-t', 'wasm', '-b', 'policies', '-o', 'bundle.tar.gz', ...(await capabilities(policies))];
    for (const entrypoint of ENTRYPOINTS) args.push('-e', entrypoint);
    if (signing !== undefined) {
      await writeFile(join(stage, 'claims.json'), JSON.stringify(signing.claims));
      args.push('--signing-alg', signing.algorithm, '--signing-key', signing.keyFile, '--claims-file', 'claims.json');
    }
    await requireOpa(compiler, args, stage);
    const packed = await readFile(join(stage, 'bundle.tar.gz'));
    return { packed, bundle: await readBundle(packed) };
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
};

/** Digest of what a bundle is compiled from: rules and data, without tests and scenarios; 16 hex digits. */
export const sourcesRevision = async (policies: string): Promise<string> => {
  const lines = [`opa ${OPA_VERSION}`];
  for (const name of [...(await sourceFiles(policies)), ...(await presentFile(policies, '.manifest'))]) {
    lines.push(`${sha256(await readFile(join(policies, name)))}  ${name}`);
  }
  return sha256(lines.join('\n')).slice(0, 16);
};

/** Rules and data files below a folder of policies, sorted, with `/` between the parts. */
export const sourceFiles = async (policies: string): Promise<string[]> => {
  const entries = await readdir(policies, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(policies.length).split(/[\\/]/).filter(Boolean).join('/'))
    .filter(isSource)
    .sort();
};

/** What the compiler loads: rules but for their tests, and files named data.*. */
const isSource = (name: string): boolean =>
  !name.startsWith('scenarios/') &&
  ((name.endsWith('.rego') && !name.endsWith('_test.rego')) || /(^|\/)data\.(json|yaml|yml)$/.test(name));

const presentFile = async (folder: string, name: string): Promise<string[]> =>
  (await readdir(folder)).includes(name) ? [name] : [];

const capabilities = async (policies: string): Promise<string[]> => {
  const [name] = await presentFile(policies, 'capabilities.json');
  return name === undefined ? [] : ['--capabilities', join(policies, name)];
};

/** The policies' own .manifest with what the build knows. */
const makeManifest = async (policies: string, revision: string, sequence: number): Promise<Manifest> => {
  const [name] = await presentFile(policies, '.manifest');
  const given = name === undefined ? {} : parseManifest(await readFile(join(policies, name), 'utf8'));
  const link = given.metadata?.aegis?.rule_link;
  const inputSchema = await readFile(join(CHECKOUT, 'schemas', 'input.json'));
  return {
    revision,
    roots: given.roots ?? [''],
    rego_version: 1,
    metadata: {
      aegis: {
        contract: 1,
        sequence,
        min_gateway: given.metadata?.aegis?.min_gateway ?? '0.1.0',
        input_schema_sha256: sha256(inputSchema),
        ...(link !== undefined && { rule_link: link }),
        rules: {},
      },
    },
  };
};

const parseManifest = (text: string): Partial<Manifest> => {
  try {
    return (JSON.parse(text) ?? {}) as Partial<Manifest>;
  } catch (error) {
    throw new Error(`policies/.manifest is not JSON: ${String((error as Error).message)}`, { cause: error });
  }
};
