import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));

const CONFIG = `# The demo's gateway: every provider is played by the sandbox.
listen: 127.0.0.1:0
admin: { listen: 127.0.0.1:0 }
home: home
upstreams:
  - { name: openai, kind: sandbox }
  - { name: anthropic, kind: sandbox }
  - { name: mistral, kind: sandbox }
  - { name: local, kind: sandbox }
bundles: { source: bundles, public_keys: [bundles/keys/release.pub.pem], poll_s: 0.5 }
log_level: warn
`;

/** How a command ended, and what it printed on both channels together. */
export interface Finished {
  readonly code: number | null;
  readonly output: string;
}

/** A piece of a file and what takes its place. */
export type Replacement = readonly [before: string, after: string];

/** A folder with a copy of the policies, keys, a config and a home: all that the demo reads and writes. */
export interface Scratch {
  readonly folder: string;
  /** Runs `./aegis …` in the folder. */
  aegis(...args: string[]): Promise<Finished>;
  /** Starts `./aegis serve` and gives its address. Throws what it said when it does not listen. */
  serve(): Promise<string>;
  /** Changes a file. Throws when a piece is not in it once: then the demo is out of date. */
  edit(file: string, ...replacements: readonly Replacement[]): Promise<void>;
  /** Adds to the end of a file. */
  append(file: string, text: string): Promise<void>;
  /** Ends the gateway and removes the folder. */
  remove(): Promise<void>;
}

/** Makes the folder; the checkout's own policies, bundles and home are only read. */
export const openScratch = async (): Promise<Scratch> => {
  const folder = await mkdtemp(join(tmpdir(), 'aegis-demo-'));
  await cp(join(CHECKOUT, 'policies'), join(folder, 'policies'), { recursive: true });
  await mkdir(join(folder, 'bundles', 'keys'), { recursive: true });
  await mkdir(join(folder, 'build'));
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' });
  await writeFile(join(folder, 'release.key.pem'), pem, { mode: 0o600 });
  await writeFile(join(folder, 'bundles/keys/release.pub.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
  await writeFile(join(folder, 'aegis.yaml'), CONFIG);

  const start = (args: readonly string[]): ChildProcess =>
    spawn(join(CHECKOUT, 'aegis'), args, { cwd: folder, env: environment(folder) });
  let gateway: ChildProcess | undefined;
  return {
    folder,
    async aegis(...args) {
      const child = start(args);
      const printed = collect(child);
      const [code] = (await once(child, 'close')) as [number | null];
      return { code, output: printed() };
    },
    async serve() {
      gateway = start(['serve']);
      return await addressOf(gateway);
    },
    async edit(file, ...replacements) {
      let text = await readFile(join(folder, file), 'utf8');
      for (const [before, after] of replacements) {
        if (text.split(before).length !== 2) throw new Error(`${file} has not once: ${before}`);
        text = text.replace(before, () => after);
      }
      await writeFile(join(folder, file), text);
    },
    append: (file, text) => writeFile(join(folder, file), text, { flag: 'a' }),
    async remove() {
      if (gateway && gateway.exitCode === null && gateway.signalCode === null) {
        const exited = once(gateway, 'exit');
        gateway.kill('SIGTERM');
        await exited;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
};

/** What this shell says of other gateways, and of real providers, is not the demo's. */
const environment = (folder: string): NodeJS.ProcessEnv => {
  const foreign =
    /^(?:AEGIS_|(?:OPENAI|ANTHROPIC|MISTRAL)_API_KEY$|DATABASE_URL$|REDIS_URL$|(?:NODE_OPTIONS|FORCE_COLOR)$)/;
  const own = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  // Twenty commands start one after the other: what is compiled once serves all.
  const cache = { NODE_COMPILE_CACHE: join(folder, 'cache') };
  return { ...Object.fromEntries(own), ...cache, AEGIS_HOME: join(folder, 'home'), NO_COLOR: '1' };
};

const collect = (child: ChildProcess): (() => string) => {
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
};

const addressOf = async (child: ChildProcess): Promise<string> => {
  const printed = collect(child);
  return await new Promise((resolve, reject) => {
    child.stdout?.on('data', () => {
      const address = /listens on (\S+)/.exec(printed())?.[1];
      if (address) resolve(address);
    });
    child.once('exit', (code) => reject(new Error(`aegis serve ended with ${code}:\n${printed()}`)));
  });
};
