/**
 * Which outside tools this machine has. Tests against real QEMU skip, visibly, where it is absent or another release than
 * the one that ours behaves like; with REQUIRE_ALL=1 (set in CI) that is a failure instead.
 */
import { spawnSync } from 'node:child_process';
import { versionInfo } from '../../host/qmp/version.ts';

export const requireAll = process.env['REQUIRE_ALL'] === '1';

function have(tool: string, ...args: readonly string[]): boolean {
  const found = spawnSync(tool, args.length > 0 ? args : ['--version'], { stdio: 'ignore' }).status === 0;
  if (!found && requireAll) throw new Error(`REQUIRE_ALL=1, but ${[tool, ...args].join(' ')} does not work`);
  return found;
}

const release = `${versionInfo.qemu.major}.${versionInfo.qemu.minor}`;

/** Why QEMU's tools are not compared with although they are installed. */
export let otherRelease: string | undefined;

function haveRelease(tool: string): boolean {
  if (!have(tool)) return false;
  const { stdout } = spawnSync(tool, ['--version'], { encoding: 'utf8' });
  const [, found] = /version (\d+\.\d+)/.exec(stdout) ?? [];
  if (found === release) return true;
  const difference = `${tool} is QEMU ${found}, and not ${release}`;
  if (requireAll) throw new Error(`REQUIRE_ALL=1, but ${difference}`);
  otherRelease ??= difference;
  return false;
}

export const haveQemu =
  haveRelease('qemu-img') && haveRelease('qemu-io') && haveRelease('qemu-storage-daemon');
export const haveQemuSystem = haveRelease('qemu-system-x86_64');
export const haveE2fsprogs = have('e2fsck', '-V') && have('debugfs', '-V');
export const haveOpenssl = have('openssl', 'version');
export const haveCryptsetup = have('cryptsetup');
export const haveScript = have('script');
export const haveLibnbd = have('nbdcopy') && have('nbdinfo');
/** Debian's, which has libnbd's module. */
export const systemPython = '/usr/bin/python3';
export const haveNbdModule = have(systemPython, '-c', 'import nbd');
export const haveRestic = have('restic', 'version');
export const haveFio = have('fio');
export const haveNbdkit = have('nbdkit');
/** A cluster with an object gateway, and what sets one up. */
export const haveCeph = ['ceph', 'ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin'].every((tool) =>
  have(tool),
);
