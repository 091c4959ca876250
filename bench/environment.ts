/** What a run was made on: figures of two runs compare only where these are alike. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir, totalmem, type } from 'node:os';
import { memoryRoot } from './images.ts';

export interface Environment {
  readonly date: string;
  readonly processors: string;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  /** Undefined where it is not installed. */
  readonly qemu: string | undefined;
  /** Where "disk" and "tmpfs" are. */
  readonly fileSystems: { readonly disk: string; readonly tmpfs: string | undefined };
  /** Processes that wanted to run, on average in the minute before. */
  readonly loadBefore: number;
}

export function environment(): Environment {
  const [first] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    processors: `${cpus().length} × ${first?.model.trim() ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()}`,
    node: process.version,
    qemu: versionOf('qemu-img'),
    fileSystems: { disk: fileSystemOf(tmpdir()), tmpfs: memoryRoot && fileSystemOf(memoryRoot) },
    loadBefore: loadNow(),
  };
}

export function loadNow(): number {
  return Number(loadavg()[0]!.toFixed(2)); // it gives three
}

export function described({ processors, memoryGiB, system, node, qemu, fileSystems }: Environment): string {
  const { disk, tmpfs = 'none' } = fileSystems;
  return `${processors}, ${memoryGiB} GiB, ${system}, Node ${node}, QEMU ${qemu ?? 'not installed'}; disk: ${disk}; memory: ${tmpfs}`;
}

function versionOf(tool: string): string | undefined {
  try {
    return /version (\S+)/.exec(execFileSync(tool, ['--version'], { encoding: 'utf8' }))?.[1];
  } catch {
    return undefined;
  }
}

/** By the table of mounts: of those above the folder the longest. */
function fileSystemOf(folder: string): string {
  let found = { at: '', kind: 'unknown' };
  try {
    for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
      const [, at = '', kind = ''] = line.split(' ');
      const isAbove = folder === at || folder.startsWith(at.endsWith('/') ? at : `${at}/`);
      if (at !== '' && isAbove && at.length >= found.at.length) found = { at, kind };
    }
  } catch {
    // Not Linux.
  }
  return found.kind;
}
