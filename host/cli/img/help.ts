/** `img --help` and `--version`. */
import { versionText } from '../../qmp/version.ts';
import type { Tool } from '../shared/tool.ts';
import { commands, type ImgCommand } from './commands.ts';

export function printVersion(tool: Tool): void {
  tool.out(`${tool.name.replace(/ /g, '-')} version ${versionText}\n`);
}

export async function printHelp(tool: Tool): Promise<void> {
  const { drivers } = await import('../../drivers.ts');
  const formats = drivers.map(({ name }) => name).sort();
  printVersion(tool);
  tool.out(
    [
      `usage: ${tool.name} [standard options] command [command options]`,
      'Makes, inspects, checks, converts and compares disk images',
      '',
      "    '-h', '--help'       display this help and exit",
      "    '-V', '--version'    output version information and exit",
      "    '-T', '--trace'      [[enable=]<pattern>][,events=<file>][,file=<file>]",
      "                         show what happens, request by request; 'help' lists the events",
      '',
      'Command syntax:',
      ...commands.map(({ name, synopsis }) => `  ${name} ${synopsis}`),
      '',
      'Command parameters:',
      ...parameters.map((parameter) => lineOf(parameter)),
      '',
      `Supported formats: ${formats.join(' ')}`,
      '',
    ].join('\n'),
  );
}

/** What is written in a synopsis, and what it means: in every command, or in one. */
interface ParameterHelp {
  readonly names: readonly string[];
  readonly only?: string;
  readonly help: string;
}

const parameters: readonly ParameterHelp[] = [
  {
    names: ['filename'],
    help: 'a disk image; with --image-opts an option string: driver=qcow2,file.filename=F',
  },
  { names: ['fmt'], help: 'the image format; guessed from the content when not given' },
  {
    names: ['cache'],
    help: 'none, writeback (default), writethrough, directsync, unsafe (default of convert)',
  },
  { names: ['size'], help: 'bytes; suffixes k, M, G, T, P and E are powers of 1024' },
  { names: ['options'], help: "name=value,...; '-o help' lists those of a format" },
  { names: ['--output'], help: 'human or json' },
  { names: ['-p', '-q'], help: 'show progress; print nothing but errors' },
  { names: ['-U'], help: 'open although another process has the image open for writing' },
  { names: ['-u'], only: 'create', help: 'do not look at the backing file' },
  { names: ['-b'], only: 'commit', help: 'an image further below; then the image keeps what it holds' },
  { names: ['-d'], only: 'commit', help: 'do not empty the image afterwards' },
  { names: ['-u'], only: 'rebase', help: 'change the name in the image only, whatever its content then is' },
  {
    names: ['-b'],
    only: 'rebase',
    help: 'the new backing file, seen from the folder of the image; none when empty',
  },
  { names: ['-c'], only: 'rebase', help: 'compress what is copied into the image' },
  { names: ['-r leaks|all'], only: 'check', help: 'repair leaked clusters, or whatever can be repaired' },
  { names: ['-c'], only: 'convert', help: 'compress the clusters of the target' },
  { names: ['-n'], only: 'convert', help: 'the target exists already' },
  {
    names: ['-S'],
    only: 'convert',
    help: 'runs of zeros from this length on (default 4k) become holes; 0: none do',
  },
  {
    names: ['--bitmaps'],
    only: 'convert',
    help: 'copy the dirty bitmaps that the source keeps; --skip-broken-bitmaps: only those of use',
  },
  { names: ['-C'], only: 'convert', help: 'copy data as they are, without a look for zeros in them' },
  {
    names: ['--atomic'],
    only: 'convert',
    help: 'the target takes its name when it is complete: until then, and after an error, what was there stays',
  },
  {
    names: ['-m', '-W'],
    only: 'convert',
    help: 'how many parts are copied at once (default 8); in any order',
  },
  { names: ['-s'], only: 'compare', help: 'sizes and allocation have to be equal too' },
];

function lineOf({ names, only, help }: ParameterHelp, isAlone = false): string {
  const quoted = names.map((name) => `'${name}'`).join(', ');
  return `  ${quoted.padEnd(16)} ${only === undefined || isAlone ? '' : `${only}: `}${help}`;
}

/** The help of one command: what its synopsis has. */
export function printCommandHelp(tool: Tool, { name, synopsis, help }: ImgCommand): void {
  const words = new Set(synopsis.match(/--?\w[\w-]*|\w+/g));
  // "-r leaks|all" is found by its first word.
  const isOfIt = ({ names, only }: ParameterHelp): boolean =>
    (only ?? name) === name && names.some((one) => words.has(one.split(' ', 1)[0] ?? one));
  const lines = parameters.filter(isOfIt).map((parameter) => lineOf(parameter, true));
  tool.out(`usage: ${tool.name} ${name} ${synopsis}\n\n${help}\n\n${lines.join('\n')}\n`);
}
