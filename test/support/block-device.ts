/**
 * Block devices to test with: a loop device for a file, where this machine lets us attach one. Nowhere is that required:
 * a container of continuous integration usually may not.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What tests that need one have in their names: `.ci/run` lets them skip. */
export const whereDevicesAre = 'where block devices can be attached';

export interface BlockDevice {
  readonly path: string;
  setReadOnly(readOnly: boolean): void;
  detach(): void;
}

/** Undefined where that is not allowed. `bytes` is a multiple of 512. */
export function attachDevice(bytes: number): BlockDevice | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'blockyard-device-'));
  const file = join(directory, 'disk');
  writeFileSync(file, '');
  truncateSync(file, bytes);
  const { status, stdout } = spawnSync('losetup', ['--find', '--show', file], { encoding: 'utf8' });
  if (status !== 0) {
    rmSync(directory, { recursive: true });
    return undefined;
  }
  const path = stdout.trim();
  return {
    path,
    setReadOnly: (readOnly) => void spawnSync('blockdev', [readOnly ? '--setro' : '--setrw', path]),
    detach() {
      spawnSync('losetup', ['--detach', path]);
      rmSync(directory, { recursive: true });
    },
  };
}

function canAttach(): boolean {
  const device = attachDevice(512);
  device?.detach();
  return device !== undefined;
}

export const haveDevices = canAttach();
