/** The command line of `blockyard web`. */
import { type Stats, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { fromSystemError } from '../../platform/node/errors.ts';
import { biosName, findFirmwareFile, vgaBiosName } from '../../platform/node/firmware.ts';
import { optionTexts } from '../manual/option-texts.ts';
import { fromSpecs, helpText } from '../manual/options.ts';
import { ExitStatus } from '../shared/exit-status.ts';
import { OptionReader, type OptionSpec, UsageError } from '../shared/getopt.ts';
import type { Tool } from '../shared/tool.ts';
import { hostNamed } from './allowed-hosts.ts';
import type { TlsChoice } from './tls.ts';

const defaultPort = 8086;

export interface Options {
  readonly host: string;
  readonly port: number;
  /** The page is shown in a browser of this machine. */
  readonly opens: boolean;
  readonly tls: TlsChoice;
  /** As `hostNamed` gives them. */
  readonly allowedHosts: readonly string[];
  /** Paths, by the names that they have in the page. */
  readonly images: ReadonlyMap<string, string>;
  readonly bios: string | undefined;
  readonly vgaBios: string | undefined;
}

const named = (long: string): OptionSpec => ({ long, argument: true });

export const specs: readonly OptionSpec[] = [
  { short: 'h', long: 'help' },
  { short: 'T', long: 'trace', argument: true },
  { long: 'open' },
  { long: 'tls' },
  ...['host', 'port', 'allow-host', 'tls-cert', 'tls-key', 'bios', 'vga-bios'].map(named),
];

const usage = `Usage: blockyard web [OPTIONS] [IMAGE …]

Serves a page that runs a machine on disks which can be backed up while it runs. IMAGEs can be
chosen in the page, which starts with the first, and are read, never written, over HTTP.

${helpText(fromSpecs(specs, optionTexts.web))}`;

export async function readOptions(tool: Tool, argv: readonly string[]): Promise<Options> {
  const reader = new OptionReader(argv, specs);
  const given = new Map<string, string>();
  const allowedHosts: string[] = [];
  try {
    for (const { name, value } of reader.options()) {
      if (name === 'allow-host') allowedHosts.push(allowedHost(tool, value));
      else if (name === 'trace') (await tool.trace()).take(value);
      else given.set(name, value);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    if (error.problem === 'unexpected-argument') tool.failUsage(`option '${error.option}' takes no argument`);
    if (error.problem === 'missing-argument') tool.failUsage(`missing argument for option '${error.word}'`);
    tool.failUsage(`unrecognized option '${error.word}'`);
  }
  if (given.has('help')) {
    tool.out(usage);
    throw new ExitStatus(0);
  }
  (await tool.trace()).begin();
  const port = given.get('port') ?? String(defaultPort);
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) tool.fail(`--port: '${port}' is not a port`);
  const host = given.get('host') ?? '127.0.0.1';
  // To listen on none would be to listen on all.
  if (host === '') tool.fail("--host: '' is not an address");
  return {
    host,
    port: Number(port),
    opens: given.has('open'),
    tls: tlsChoice(tool, given, [host, ...allowedHosts]),
    allowedHosts,
    images: readImages(tool, reader.operands),
    bios: firmware(tool, given.get('bios'), biosName),
    vgaBios: firmware(tool, given.get('vga-bios'), vgaBiosName),
  };
}

/** `names`: that a certificate which is made has beside those of this machine. */
function tlsChoice(tool: Tool, given: ReadonlyMap<string, string>, names: readonly string[]): TlsChoice {
  const [cert, key] = [given.get('tls-cert'), given.get('tls-key')];
  if (cert !== undefined && key !== undefined) {
    if (given.has('tls')) tool.fail('--tls makes a certificate: it does not go with --tls-cert');
    return { type: 'files', cert, key };
  }
  if (cert !== undefined) tool.fail('--tls-cert needs --tls-key FILE');
  if (key !== undefined) tool.fail('--tls-key needs --tls-cert FILE');
  return given.has('tls') ? { type: 'made', names } : undefined;
}

function allowedHost(tool: Tool, text: string): string {
  return hostNamed(text) ?? tool.fail(`--allow-host: '${text}' is not a name or address of a host`);
}

function readImages(tool: Tool, paths: readonly string[]): Map<string, string> {
  const images = new Map<string, string>();
  for (const path of paths) {
    const name = basename(path);
    if (images.has(name)) tool.fail(`'${path}': there are two images named '${name}'`);
    images.set(name, fileAt(tool, path));
  }
  return images;
}

function firmware(tool: Tool, path: string | undefined, usual: string): string | undefined {
  if (path !== undefined) return fileAt(tool, path);
  return findFirmwareFile(usual);
}

/** Its whole path. */
function fileAt(tool: Tool, path: string): string {
  let found: Stats | undefined;
  try {
    found = statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    tool.fail(`'${path}': ${fromSystemError(error).message}`);
  }
  return found?.isFile() ? resolve(path) : tool.fail(`'${path}' is not a file`);
}
