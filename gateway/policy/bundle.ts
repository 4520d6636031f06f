import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { extract } from 'tar-stream';
import type { Manifest } from '../types.gen.ts';
import { checkManifest } from './shapes.ts';

/** Largest bundle, packed and unpacked, bytes. */
export const MAX_BUNDLE_BYTES = 64 * 1024 * 1024;
const MAX_FILES = 4096;

/** The entrypoints of every policy bundle: the decision, the models a caller may use, and the control plane. */
export const ENTRYPOINTS = ['aegis/decision', 'aegis/models', 'aegis/admin'] as const;

/** An entrypoint that a bundle may have: why it decided an input as it did. Asked by people, never for a request. */
export const EXPLAIN_ENTRYPOINT = 'aegis/explain';

/** File of the signature: the one file that is not signed. */
export const SIGNATURES_FILE = '.signatures.json';

/** An unpacked bundle whose form is right. Nothing is said about who signed it: see verifySignature. */
export interface Bundle {
  /** By name, without a leading slash. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly manifest: Manifest;
  /** The policies' data: the content of data.json. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly wasm: Buffer;
  /** sha256 of the signed content in hex: of every file but the signature, whatever the packing. */
  readonly digest: string;
}

/**
 * Unpacks an OPA bundle (a gzipped tar). Refuses with an Error: links and other special entries, names that climb or
 * occur twice, sizes over the bounds, files that the gateway would not read but OPA would, a bad manifest. Nothing is
 * said about its entrypoints either: see checkEntrypoints.
 */
export const readBundle = async (packed: Uint8Array): Promise<Bundle> => {
  if (packed.length > MAX_BUNDLE_BYTES) throw new Error(`bundle: larger than ${MAX_BUNDLE_BYTES} bytes`);
  let tar: Buffer;
  try {
    tar = gunzipSync(packed, { maxOutputLength: MAX_BUNDLE_BYTES });
  } catch (error) {
    throw new Error('bundle: not a gzip file, damaged or too large', { cause: error });
  }
  const files = await untar(tar);
  for (const name of files.keys()) {
    const known = name === 'data.json' || name === 'policy.wasm' || name === '.manifest' || name === SIGNATURES_FILE;
    if (!known && !name.endsWith('.rego')) throw new Error(`bundle: unexpected file ${JSON.stringify(name)}`);
  }
  const manifest = parseObject(required(files, '.manifest'), '.manifest');
  checkManifest(manifest);
  return {
    files,
    manifest,
    data: parseObject(required(files, 'data.json'), 'data.json'),
    wasm: required(files, 'policy.wasm'),
    digest: contentDigest(files),
  };
};

/** Refuses with an Error a bundle that lacks an entrypoint, such as one of an older gateway. */
export const checkEntrypoints = ({ manifest }: Bundle): void => {
  for (const entrypoint of ENTRYPOINTS) {
    const there = manifest.wasm?.some((entry) => entry.entrypoint === entrypoint && entry.module === '/policy.wasm');
    if (!there) {
      throw new Error(`bundle: the manifest does not list the entrypoint ${entrypoint}; build it with this version`);
    }
  }
};

/** The digest of a bundle's content: sha256 over the sorted lines `<sha256 of the file>  <name>` of all signed files. */
export const contentDigest = (files: ReadonlyMap<string, Buffer>): string => {
  const digest = createHash('sha256');
  for (const name of [...files.keys()].filter((file) => file !== SIGNATURES_FILE).sort()) {
    digest.update(`${sha256(files.get(name) as Buffer)}  ${name}\n`);
  }
  return digest.digest('hex');
};

/** sha256 in hex. */
export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

const required = (files: ReadonlyMap<string, Buffer>, name: string): Buffer => {
  const file = files.get(name);
  if (file === undefined) throw new Error(`bundle: ${name} is missing`);
  return file;
};

const parseObject = (bytes: Buffer, name: string): Record<string, unknown> => {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Error(`bundle: ${name} is not JSON`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error(`bundle: ${name} is not an object`);
  }
  return value as Record<string, unknown>;
};

const untar = (tar: Buffer): Promise<Map<string, Buffer>> =>
  new Promise((resolve, reject) => {
    const files = new Map<string, Buffer>();
    const unpack = extract();
    unpack.on('entry', (header, stream, next) => {
      stream.on('error', reject); // first: destroying the archive destroys the entry with the same error
      const name = header.name.startsWith('/') ? header.name.slice(1) : header.name;
      const reason = refusal(name, header.type ?? 'file', files);
      if (reason !== undefined) {
        unpack.destroy(new Error(`bundle: ${reason}: ${JSON.stringify(header.name)}`));
        return;
      }
      const chunks: Uint8Array[] = [];
      stream.on('data', (chunk: unknown) => chunks.push(chunk as Uint8Array));
      stream.on('end', () => {
        files.set(name, Buffer.concat(chunks));
        next();
      });
    });
    unpack.on('finish', () => resolve(files));
    unpack.on('error', (error: unknown) => {
      const own = (error as { message?: unknown } | null)?.message;
      reject(
        typeof own === 'string' && own.startsWith('bundle: ')
          ? error
          : new Error('bundle: a damaged tar', { cause: error }),
      );
    });
    unpack.end(tar);
  });

const refusal = (name: string, type: string, files: ReadonlyMap<string, Buffer>): string | undefined => {
  if (type !== 'file' && type !== 'contiguous-file') return `an entry of type ${type}`;
  const parts = name.split('/');
  if (name.length > 255 || parts.some((part) => part === '' || part === '.' || part === '..')) return 'an unsafe name';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\\\u0000-\u001f\u007f]/.test(name)) return 'an unsafe name';
  if (files.has(name)) return 'a name that occurs twice';
  if (files.size >= MAX_FILES) return `more than ${MAX_FILES} files`;
  return undefined;
};
