/** Commands about the NBD server and what it exports. */
import { BlockError, invalid } from '../../base/errors.ts';
import type { CommandContext } from '../../qmp/command.ts';
import {
  type Arguments,
  device,
  flag,
  type HmpCommand,
  optionalWord,
  qmp,
  silently,
  word,
} from './command.ts';

/** `HOST:PORT`, `[HOST]:PORT` or `unix:PATH`, as nbd-server-start has it. Errors: another form. */
function readAddress(text: string): object {
  if (text.startsWith('unix:')) return { type: 'unix', data: { path: text.slice('unix:'.length) } };
  const parts = /^(?:\[([^\]]*)\]|([^:]*)):([^:,]+)$/.exec(text);
  if (!parts) throw invalid(`error parsing address '${text}'`);
  const [, bracketed, host = bracketed, port] = parts;
  return { type: 'inet', data: { host, port } };
}

async function start(context: CommandContext, { all, writable, address }: Arguments): Promise<string> {
  if (writable && !all) throw invalid('-w only valid together with -a');
  await qmp(context, 'nbd-server-start', { addr: readAddress(address as string) });
  if (!all) return '';
  try {
    for (const disk of context.graph.backends.list()) {
      if (!disk.hasMedium) continue;
      await qmp(context, 'nbd-server-add', { device: disk.name, writable: writable === true });
    }
  } catch (error) {
    if (error instanceof BlockError) await qmp(context, 'nbd-server-stop');
    throw error;
  }
  return '';
}

export const nbdCommands: readonly HmpCommand[] = [
  {
    name: 'nbd_server_start',
    parameters: [flag('a', 'all'), flag('w', 'writable'), word('address')],
    usage: 'nbd_server_start [-a] [-w] host:port',
    help: 'serve block devices on the given host and port',
    run: start,
  },
  {
    name: 'nbd_server_add',
    parameters: [flag('w', 'writable'), device, optionalWord('name')],
    usage: 'nbd_server_add [-w] device [name]',
    help: 'export a block device via NBD',
    run: (context, { writable, device, name }) =>
      silently(context, 'nbd-server-add', { device, name, writable: writable === true }),
  },
  {
    name: 'nbd_server_remove',
    parameters: [flag('f', 'force'), word('name')],
    usage: 'nbd_server_remove [-f] name',
    help: 'remove an export previously exposed via NBD',
    run: (context, { force, name }) =>
      silently(context, 'nbd-server-remove', { name, mode: force ? 'hard' : 'safe' }),
  },
  {
    name: 'nbd_server_stop',
    usage: 'nbd_server_stop',
    help: 'stop serving block devices using the NBD protocol',
    run: (context) => silently(context, 'nbd-server-stop'),
  },
];
