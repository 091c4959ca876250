/**
 * Which outside tools this machine has. Tests against real QEMU skip, visibly, where it is absent; with REQUIRE_ALL=1
 * (set in CI) a missing tool is a failure instead.
 */
import { spawnSync } from 'node:child_process';

export const requireAll = process.env['REQUIRE_ALL'] === '1';

function have(tool: string, version = '--version'): boolean {
  const found = spawnSync(tool, [version], { stdio: 'ignore' }).status === 0;
  if (!found && requireAll) throw new Error(`REQUIRE_ALL=1, but ${tool} is not installed`);
  return found;
}

export const haveQemu = have('qemu-img') && have('qemu-io') && have('qemu-storage-daemon');
export const haveQemuSystem = have('qemu-system-x86_64');
export const haveE2fsprogs = have('e2fsck', '-V') && have('debugfs', '-V');
export const haveOpenssl = have('openssl', 'version');
export const haveScript = have('script');
