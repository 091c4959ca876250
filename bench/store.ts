/**
 * Backups into repositories, next to restic with the same files in repositories of its own: the first of a disk, one of a disk that has
 * not changed, and a restore.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Compare, comparison, timed } from './compare.ts';
import { makeCompressibleImage, makeImage, type Place } from './images.ts';
import type { Report } from './report.ts';
import { type Command, ours, run } from './side.ts';

const imageBytes = 256 << 20;
const images = [
  { name: 'that shrinks to a third', make: makeCompressibleImage, headline: 'backup into a repository' },
  { name: 'that does not shrink', make: makeImage, headline: undefined },
] as const;

export async function benchStore(report: Report, rounds: number, places: readonly Place[]): Promise<void> {
  const compare = comparison(report, rounds);
  process.env['RESTIC_PASSWORD'] = 'measured';
  for (const place of places) await benchPlace(report, compare, place);
}

async function benchPlace(report: Report, compare: Compare, { name, folder }: Place): Promise<void> {
  const path = (file: string): string => join(folder, file);
  const backup = (...args: string[]): Command =>
    ours('backup', args[0]!, '-r', path('own'), ...args.slice(1)); // a command
  const restic = (...args: string[]): Command => ({
    program: 'restic',
    args: ['-q', '--no-cache', '-r', path('other'), ...args],
  });
  const haveRestic = spawnSync('restic', ['version'], { stdio: 'ignore' }).status === 0;
  const again = (side: 'own' | 'other') => (): void => {
    rmSync(path(side), { recursive: true, force: true });
    cpSync(path(`${side}.empty`), path(side), { recursive: true });
  };
  await run(backup('init'));
  cpSync(path('own'), path('own.empty'), { recursive: true });
  if (haveRestic) {
    await run(restic('init', '--repository-version', '2'));
    cpSync(path('other'), path('other.empty'), { recursive: true });
  }
  for (const { name: content, make, headline } of images) {
    report.heading(`repositories, 256 MiB of data ${content}, on ${name}`);
    make(path('disk.raw'), imageBytes);
    const first = [
      backup('run', '-q', '--machine', 'm', path('disk.raw')),
      restic('backup', path('disk.raw')),
    ] as const;
    const row = (what: string, mine: Command, other: Command, prepare?: typeof again): Promise<void> =>
      compare(what, 's', 'lower', {
        ours: timed(mine, prepare?.('own')),
        theirs: haveRestic ? timed(other, prepare?.('other')) : undefined,
        ...{
          rival: 'restic',
          aim: 1.5,
          headline: prepare === again ? headline && `${headline}, on ${name}` : undefined,
        },
      });
    await row('backup, the first', ...first, again);
    await row('backup, nothing has changed', first[0], restic('backup', '--force', path('disk.raw')));
    const emptied = () => (): void => {
      rmSync(path('out'), { recursive: true, force: true });
      mkdirSync(path('out'));
    };
    await row(
      'restore',
      backup('restore', '-q', 'latest', path('out')),
      restic('restore', 'latest', '--target', path('out')),
      emptied,
    );
  }
  for (const left of ['own', 'own.empty', 'other', 'other.empty', 'out', 'disk.raw'])
    rmSync(path(left), { recursive: true, force: true });
}
