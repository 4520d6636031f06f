import { execFile } from 'node:child_process';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Bundle } from '../../gateway/policy/bundle.ts';
import { createFolderOrigin } from '../../gateway/policy/folder-origin.ts';
import { openPolicySource } from '../../gateway/policy/source.ts';
import { type Forgery, makeForgery } from '../support/bundle-forgery.ts';
import { withFolder } from '../support/policy-fixture.ts';

const run = promisify(execFile);
const POLL_MS = 300;

describe('a file of a folder', () => {
  test.each(['fifo', 'folder', 'large'] as const)(
    'that is none, or too large, is refused and holds nothing up: %s',
    (kind) =>
      withFolder(async (root) => {
        const file = join(root, 'default.tar.gz');
        if (kind === 'fifo') await run('mkfifo', [file]);
        else if (kind === 'folder') await mkdir(file);
        else await writeFile(file, Buffer.alloc(1_001));
        const origin = createFolderOrigin(root, POLL_MS);
        const refused = origin.read('default.tar.gz', 1_000).then(
          () => 'read',
          (error: Error) => error.message,
        );
        const late = pause(5_000, 'it waits', { ref: false });
        const answer = await Promise.race([refused, late]);
        // Who waits to read a pipe is let go.
        if (answer === 'it waits') await run('sh', ['-c', `: > ${file}`]);
        expect(answer).toContain(kind === 'large' ? 'is larger than 1000 bytes' : 'is no file');
      }),
  );

  test('is looked at by one look and one that waits, however often a change is told', async () => {
    const forgery = await makeForgery();
    await withFolder(async (root) => {
      await writeFile(join(root, 'default.tar.gz'), await forgery.sign(forgery.serving));
      await writeFile(join(root, 'rollout.yaml'), 'stable: default.tar.gz\n');
      const origin = createFolderOrigin(root, 3_600_000);
      const { promise: held, resolve: release } = Promise.withResolvers<void>();
      let looks = 0;
      let isHeld = false;
      const source = await openPolicySource({
        origin: {
          ...origin,
          read: async (name, limitBytes) => {
            if (name === 'rollout.yaml') looks++;
            if (isHeld) await held;
            return await origin.read(name, limitBytes);
          },
        },
        home: join(root, 'home'),
        publicKeys: forgery.publicKeys,
        onEvent: () => {},
      });
      isHeld = true;
      looks = 0;
      const told = Array.from({ length: 50 }, () => source.refresh());
      await pause(20);
      told.push(source.refresh());
      release();
      await Promise.all(told);
      await source.close();
      expect(looks).toBe(2);
    });
  });
});

describe('a folder that another program keeps up to date', () => {
  let forgery: Forgery;
  beforeAll(async () => {
    forgery = await makeForgery();
  });

  /** Fills a folder with a bundle and what names it. */
  const fill = async (folder: string, bundle: Bundle, name = 'default.tar.gz'): Promise<void> => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, name), await forgery.sign(bundle));
    await writeFile(join(folder, 'rollout.yaml'), `stable: ${name}\n`);
  };

  /** Follows `folder` while `change` happens; gives the sequences that served before and after. */
  const follow = async (root: string, folder: string, change: () => Promise<unknown>): Promise<unknown[]> => {
    const source = await openPolicySource({
      origin: createFolderOrigin(folder, POLL_MS),
      home: join(root, 'home'),
      publicKeys: forgery.publicKeys,
      onEvent: () => {},
    });
    const sequence = () => source.current?.manifest.metadata.aegis.sequence;
    try {
      const before = sequence();
      await change();
      for (let wait = 0; wait < 200 && sequence() === before; wait++) await pause(50);
      return [before, sequence()];
    } finally {
      await source.close();
    }
  };

  test('by exchanging a link, as git-sync does, is followed, and so is the next exchange', async () => {
    await withFolder(async (root) => {
      const current = join(root, 'current');
      const link = async (target: string): Promise<void> => {
        await symlink(target, `${current}.new`);
        await rename(`${current}.new`, current);
      };
      await fill(join(root, 'one'), forgery.serving);
      await fill(join(root, 'two'), forgery.next);
      await fill(join(root, 'three'), forgery.newer);
      await link('one');
      const swap = async (): Promise<void> => {
        await link('two');
        await rm(join(root, 'one'), { recursive: true });
      };
      expect(await follow(root, current, swap)).toEqual([5, 6]);
      expect(await follow(root, current, () => link('three'))).toEqual([6, 7]);
    });
  });

  test('by git pull is followed: the same name with other content, and another name', async () => {
    await withFolder(async (root) => {
      const [upstream, checkout] = [join(root, 'upstream'), join(root, 'checkout')];
      const git = (folder: string, ...args: string[]) =>
        run('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], { cwd: folder });
      const commit = async (bundle: Bundle, name?: string): Promise<void> => {
        await fill(join(upstream, 'bundles'), bundle, name);
        await git(upstream, 'add', '.');
        await git(upstream, 'commit', '-q', '-m', 'a bundle');
      };
      await mkdir(upstream);
      await git(upstream, 'init', '-q', '-b', 'main');
      await commit(forgery.serving);
      await git(root, 'clone', '-q', upstream, checkout);
      const folder = join(checkout, 'bundles');
      await commit(forgery.next);
      expect(await follow(root, folder, () => git(checkout, 'pull', '-q', '--ff-only'))).toEqual([5, 6]);
      await commit(forgery.newer, 'newer.tar.gz');
      expect(await follow(root, folder, () => git(checkout, 'pull', '-q', '--ff-only'))).toEqual([6, 7]);
    });
  });
});
