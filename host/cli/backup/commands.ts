/** The subcommands of `backup`: name, synopsis, and where the code is. Each is loaded only when it runs. */
import type { OptionSpec } from '../shared/getopt.ts';
import type { Tool } from '../shared/tool.ts';

export interface BackupCommand {
  readonly name: string;
  readonly help: string;
  readonly synopsis: string;
  load(): Promise<{
    run(tool: Tool, argv: string[]): Promise<number>;
    readonly specs: readonly OptionSpec[];
  }>;
}

export const commands: readonly BackupCommand[] = [
  {
    name: 'check',
    help: 'check that a repository is whole, with --read-data that every byte is right, with --boot that machines start',
    synopsis:
      '[-r repository] [--password-file file] [-o option]... [--read-data | --read-data-subset percent] [--boot text [--machine name] [--boot-timeout seconds] [-- vm_option...]] [-p]',
    load: () => import('./check.ts'),
  },
  {
    name: 'init',
    help: 'make a repository',
    synopsis: '[-r repository] [--password-file file] [-o option]...',
    load: () => import('./init.ts'),
  },
  {
    name: 'restore',
    help: 'make images of the disks of a snapshot, or write what differs into those that there are',
    synopsis:
      '[-r repository] [--password-file file] [-o option]... [--machine name] [--disk name]... [-O fmt] [-n [--target-image-opts]] [-p] [-q] snapshot {folder | disk=image...}',
    load: () => import('./restore.ts'),
  },
  {
    name: 'run',
    help: 'back up images that nobody writes to, or with --qmp disks of a running machine, as one snapshot',
    synopsis:
      '[-r repository] [--password-file file] [-o option]... --machine name [-p] [-q] { [--image-opts] [-f fmt] [disk=]image... | --qmp socket [--scratch folder] [--nbd uri] [[disk=]node...] }',
    load: () => import('./run.ts'),
  },
  {
    name: 'snapshots',
    help: 'list the snapshots of a repository',
    synopsis: '[-r repository] [--password-file file] [-o option]... [--machine name] [--output=ofmt]',
    load: () => import('./snapshots.ts'),
  },
];
