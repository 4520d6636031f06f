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
