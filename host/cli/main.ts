#!/usr/bin/env node
/**
 * The executable. Which tool it is follows from the name it was started by, as with busybox: `qemu-img`, `qemu-io`,
 * `qemu-storage-daemon` and `qemu-system-*` are those tools and say so in their messages; under any other name the first argument chooses
 * (`blockyard img …`). Each tool is loaded only when it is the one.
 */
import { basename } from 'node:path';
import { version } from '../../package.json';
import { runProcess } from './shared/internal-error.ts';
import { outputFailed } from './shared/terminal.ts';

type Main = (argv: string[], programName: string) => Promise<number>;

interface Subcommand {
  name: string;
  /** The tool it stands in for. */
  link?: string;
  help: string;
  load(): Promise<{ main: Main }>;
}

const subcommands: readonly Subcommand[] = [
  {
    name: 'img',
    link: 'qemu-img',
    help: 'create, inspect, check, convert and compare disk images (qemu-img)',
    load: () => import('./img/main.ts'),
  },
  {
    name: 'io',
    link: 'qemu-io',
    help: 'read and write disk images by hand or by script (qemu-io)',
    load: () => import('./io/main.ts'),
  },
  {
    name: 'storage-daemon',
    link: 'qemu-storage-daemon',
    help: 'serve block nodes, jobs and a QMP monitor (qemu-storage-daemon)',
    load: () => import('./storage-daemon/main.ts'),
  },
  {
    name: 'system',
    link: 'qemu-system-*',
    help: 'be the storage of a machine without a processor (qemu-system-*)',
    load: () => import('./system/main.ts'),
  },
  {
    name: 'vm',
    help: 'run a PC by v86, with its disks on the block layer and a monitor beside it',
    load: () => import('./vm/main.ts'),
  },
  {
    name: 'web',
    help: 'serve a page that runs a machine and backs up its disks',
    load: () => import('./web/main.ts'),
  },
  {
    name: 'demo',
    help: 'back up two live disks at one instant, and prove it',
    load: () => import('./demo/main.ts'),
  },
];

function usage(): string {
  const lines = subcommands.map(({ name, help }) => `  ${name.padEnd(16)}${help}`);
  return [
    'Usage: blockyard COMMAND [ARGUMENTS]',
    '',
    ...lines,
    '',
    "'blockyard COMMAND --help' tells more. A link to this program named qemu-img, qemu-io,",
    'qemu-storage-daemon or qemu-system-… behaves as that tool.',
    '',
  ].join('\n');
}

/** `*` at the end of a link's name stands for anything. */
function isStartedAs(link: string, name: string): boolean {
  return link.endsWith('*') ? name.startsWith(link.slice(0, -1)) : link === name;
}

/** As messages about the program call it. */
let programName = 'blockyard';

async function start({ load }: Subcommand, argv: string[], name: string): Promise<number> {
  programName = name;
  return (await load()).main(argv, name);
}

async function run(argv: string[], startedAs: string): Promise<number> {
  const linked = subcommands.find(({ link }) => link !== undefined && isStartedAs(link, startedAs));
  if (linked) return start(linked, argv, startedAs);
  const [command, ...rest] = argv;
  if (command === '--version' || command === '-V') {
    process.stdout.write(`blockyard ${version}\n`);
    return 0;
  }
  if (command === '--help' || command === '-h' || command === 'help') {
    process.stdout.write(usage());
    return 0;
  }
  const chosen = subcommands.find(({ name }) => name === command);
  if (chosen) return start(chosen, rest, `blockyard ${chosen.name}`);
  process.stderr.write(
    command === undefined ? usage() : `blockyard: Command not found: ${command}\n${usage()}`,
  );
  return 1;
}

process.stdout.on('error', (error) => outputFailed(1, error));
process.stderr.on('error', (error) => outputFailed(2, error));

runProcess(
  () => programName,
  () => run(process.argv.slice(2), basename(process.argv[1] ?? 'blockyard')),
);
