/** A file system that is soon full, where this machine lets us mount one. Nowhere is that required: few containers may. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Its folder, with room for 2 MiB; undefined where nothing may be mounted. `.ci/run` lets such tests skip. */
export function mountSmall(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'blockyard-small-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', folder], {
    stdio: 'ignore',
  });
  if (status === 0) return folder;
  rmSync(folder, { recursive: true });
  return undefined;
}

export function unmount(folder: string | undefined): void {
  if (folder === undefined) return;
  spawnSync('umount', [folder]);
  rmSync(folder, { recursive: true });
}
