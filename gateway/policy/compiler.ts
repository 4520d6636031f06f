import { execFile } from 'node:child_process';
import { access, constants, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The one version of the compiler that makes the bytes of the committed bundle. */
export const OPA_VERSION = '1.22.2';

/** The checkout that these sources are in. */
export const CHECKOUT: string = fileURLToPath(new URL('../..', import.meta.url));

const run = promisify(execFile);
const TOOL = join(CHECKOUT, '.tools', process.platform === 'win32' ? 'opa.exe' : 'opa');

/** A compiler that was found, and whether it can evaluate WASM too (the official static releases cannot). */
export interface Compiler {
  path: string;
  evaluatesWasm: boolean;
}

/**
 * The compiler if it is there already: `opa` of the exact version on PATH, else `.tools/opa`. One that evaluates WASM is
 * preferred, because then the rules' unit tests run on what serves.
 */
export const findCompiler = async (): Promise<Compiler | undefined> => {
  const found: Compiler[] = [];
  for (const path of ['opa', TOOL]) {
    const compiler = await probe(path);
    if (compiler?.evaluatesWasm) return compiler;
    if (compiler !== undefined) found.push(compiler);
  }
  return found[0];
};

/**
 * The compiler, built into `.tools/` with Go if it is not there: 90 to 120 seconds once; the checksum database proves the
 * sources. `say` gets a line for people when it takes that long. Throws an Error that names every way to get it.
 */
export const requireCompiler = async (say: (line: string) => void = () => {}): Promise<Compiler> => {
  const found = await findCompiler();
  if (found !== undefined) return found;
  let cause: unknown;
  try {
    await run('go', ['version']);
    say(`building the policy compiler (opa ${OPA_VERSION}) with Go into .tools/, once; this takes about two minutes …`);
    await goInstall();
    const built = await probe(TOOL);
    if (built !== undefined) return built;
    cause = new Error('it was built and does not run');
  } catch (error) {
    cause = error;
  }
  throw new Error(
    `the policy compiler, opa ${OPA_VERSION}, is not here: put it on PATH, or at .tools/opa, or install Go ` +
      `(then it is built from ${MODULE}). Running the gateway does not need it.`,
    { cause },
  );
};

const MODULE = `github.com/open-policy-agent/opa@v${OPA_VERSION}`;

/** WASM evaluation is pure Go, hence no C compiler. Built beside and renamed: two builds at a time do not meet. */
const goInstall = async (): Promise<void> => {
  const folder = join(dirname(TOOL), `build-${process.pid}`);
  await mkdir(folder, { recursive: true });
  try {
    const env = { ...process.env, CGO_ENABLED: '0', GOBIN: folder, GOFLAGS: '' };
    await run('go', ['install', '-tags', 'opa_wasm', '-ldflags', '-s -w', MODULE], { env, maxBuffer: 1 << 24 });
    await rename(join(folder, process.platform === 'win32' ? 'opa.exe' : 'opa'), TOOL);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

const probe = async (path: string): Promise<Compiler | undefined> => {
  try {
    if (path !== 'opa') await access(path, constants.X_OK);
    const { stdout } = await run(path, ['version'], { timeout: 20_000 });
    if (!new RegExp(`^Version: ${OPA_VERSION.replaceAll('.', '\\.')}$`, 'm').test(stdout)) return undefined;
    return { path, evaluatesWasm: /^WebAssembly: available$/m.test(stdout) };
  } catch {
    return undefined;
  }
};

// `node gateway/policy/compiler.ts` prints the path, for Makefiles.
if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log((await requireCompiler((line) => console.error(line))).path);
  } catch (error) {
    console.error((error as { message?: unknown }).message);
    process.exitCode = 1;
  }
}
