/** `img --help` and `--version`. */
import { version } from '../../../package.json';
import type { Tool } from '../shared/tool.ts';
import { commands } from './commands.ts';

/** The version of QEMU whose tools ours behave like; programs that start them look at it. */
const compatibleVersion = '7.2.22';

export function printVersion(tool: Tool): void {
  tool.out(`${tool.name.replace(/ /g, '-')} version ${compatibleVersion} (blockyard ${version})\n`);
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
      ...parameters,
      '',
      `Supported formats: ${formats.join(' ')}`,
      '',
    ].join('\n'),
  );
}

const parameters = [
  "  'filename'       a disk image; with --image-opts an option string: driver=qcow2,file.filename=F",
  "  'fmt'            the image format; guessed from the content when not given",
  "  'cache'          none, writeback (default), writethrough, directsync, unsafe (default of convert)",
  "  'size'           bytes; suffixes k, M, G, T, P and E are powers of 1024",
  "  'options'        name=value,...; '-o help' lists those of a format",
  "  '--output'       human or json",
  "  '-p', '-q'       show progress; print nothing but errors",
  "  '-U'             open although another process has the image open for writing",
  "  '-u'             create: do not look at the backing file",
  "  '-r leaks|all'   check: repair leaked clusters, or whatever can be repaired",
  "  '-c'             convert: compress the clusters of the target",
  "  '-n'             convert: the target exists already",
  "  '-S'             convert: runs of zeros from this length on (default 4k) become holes; 0: none do",
  "  '-m', '-W'       convert: how many parts are copied at once (default 8); in any order",
  "  '-s'             compare: sizes and allocation have to be equal too",
];
