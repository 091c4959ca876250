/**
 * One QMP script against two monitors: the real qemu-system-x86_64 without a machine, and ours in this process. What
 * they print comes back as objects, with what chance and time decide made equal.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { asBlockError, BlockError } from '../../host/base/errors.ts';
import { Lines } from '../../host/base/lines.ts';
import { withObjectOptions } from '../../host/cli/shared/object-types.ts';
import { drivers } from '../../host/drivers.ts';
import { closeExports } from '../../host/exports/block-exports.ts';
import { hostObjectTypes } from '../../host/objects/host-types.ts';
import type { Connection } from '../../host/platform/connection.ts';
import { joinedConnections } from '../../host/platform/joined-connections.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { sockets } from '../../host/platform/node/sockets.ts';
import { ProgramEnded } from '../../host/platform/platform.ts';
import type { SocketAddress } from '../../host/platform/sockets.ts';
import { storageDaemonCommands } from '../../host/qmp/commands/storage-daemon.ts';
import { QmpServer } from '../../host/qmp/server.ts';

export interface Message {
  return?: unknown;
  error?: unknown;
  event?: string;
  data?: unknown;
  [member: string]: unknown;
}

export interface QmpSession {
  send(text: string): void;
  /** The next line of output; lines are kept until somebody asks. */
  next(): Promise<string>;
  close(): Promise<void>;
}

class LineQueue {
  private readonly waiting: string[] = [];
  private wanted: ((line: string) => void) | undefined;

  push(line: string): void {
    const { wanted } = this;
    this.wanted = undefined;
    if (wanted) wanted(line);
    else this.waiting.push(line);
  }

  next(): Promise<string> {
    const line = this.waiting.shift();
    if (line !== undefined) return Promise.resolve(line);
    return new Promise((resolve) => {
      this.wanted = resolve;
    });
  }
}

/** The real machine emulator, without a machine unless `options` say otherwise. */
export function startQemu(cwd: string, options: readonly string[] = ['-machine', 'none']): QmpSession {
  return startProgram(
    'qemu-system-x86_64',
    ['-nodefaults', '-display', 'none', '-qmp', 'stdio', ...options],
    cwd,
  );
}

/** The real storage daemon. */
export function startStorageDaemon(cwd: string, options: readonly string[] = []): QmpSession {
  const monitor = ['--chardev', 'stdio,id=monitor', '--monitor', 'monitor'];
  return startProgram('qemu-storage-daemon', [...options, ...monitor], cwd);
}

/** Any program that speaks QMP on its standard streams. */
export function startProgram(command: string, options: readonly string[], cwd: string): QmpSession {
  const lines = new LineQueue();
  const qemu: ChildProcess = spawn(command, options, { cwd, stdio: ['pipe', 'pipe', 'ignore'] });
  createInterface({ input: qemu.stdout! }).on('line', (line) => lines.push(line)); // stdout is a pipe
  // It may be gone before it has read everything.
  qemu.stdin!.on('error', () => {});
  const gone = new Promise<void>((resolve) => {
    qemu.on('close', () => {
      lines.push('{"gone": true}');
      resolve();
    });
  });
  return {
    send: (text) => void qemu.stdin!.write(`${text}\n`), // stdin is a pipe
    next: () => lines.next(),
    async close() {
      qemu.kill('SIGKILL');
      await gone;
    },
  };
}

/** Ours; relative file names start at `cwd`, as they do in a process that runs there. */
export function startOurs(cwd: string): QmpSession & { readonly server: QmpServer } {
  const lines = new LineQueue();
  const { files } = nodePlatform;
  const at = (path: string): string => (path.startsWith('/') ? path : `${cwd}/${path}`);
  const inFolder = (address: SocketAddress): SocketAddress =>
    address.type === 'unix' ? { ...address, path: at(address.path) } : address;
  const told = (error: unknown): never => {
    const { errno, message } = asBlockError(error);
    throw new BlockError(errno, message.replace(`${cwd}/`, ''));
  };
  const platform = {
    ...nodePlatform,
    files: {
      open: (path: string, options: Parameters<typeof files.open>[1]) => files.open(at(path), options),
      stat: (path: string) => files.stat(at(path)),
      unlink: (path: string) => files.unlink(at(path)),
      identify: (path: string) => files.identify(at(path)),
    },
    sockets: {
      listen: (address: SocketAddress, accept: (connection: Connection) => void) =>
        sockets.listen(inFolder(address), accept).catch(told),
      connect: (address: SocketAddress) => sockets.connect(inFolder(address)).catch(told),
    },
    console: {
      stdout: (line: string) => lines.push(line),
      stderr: (line: string) => {
        if (line.startsWith('internal error')) lines.push(JSON.stringify({ gone: line }));
      },
      error: () => {},
      warn: () => {},
      fatal: (line: string): never => {
        lines.push(JSON.stringify({ gone: line }));
        throw new ProgramEnded(line);
      },
    },
  };
  const server = new QmpServer({
    platform,
    drivers,
    objectTypes: hostObjectTypes,
    commands: withObjectOptions(storageDaemonCommands),
    beforeEnd: closeExports,
  });
  const [ours, theirs] = joinedConnections();
  server.connect(theirs);
  const received = new Lines();
  ours.start({
    data: (bytes) => {
      for (const line of received.take(bytes)) lines.push(line.replace(/\r$/, ''));
    },
    drained: () => {},
    ended: () => {},
    closed: () => {},
  });
  return {
    server,
    send: (text) => ours.write(new TextEncoder().encode(`${text}\n`)),
    next: () => lines.next(),
    async close() {
      await server.stop();
      await server.close();
    },
  };
}

/** A command; what to wait for; or what `query-jobs` must say before it goes on. */
export type Step =
  | Message
  | { wait: (message: Message) => boolean }
  | { untilJobs: (jobs: readonly Record<string, unknown>[]) => boolean };

/** Whether the message tells that the job has come to that status. */
export const statusOf =
  (id: string, status: string) =>
  (message: Message): boolean =>
    JSON.stringify(message.data) === JSON.stringify({ status, id });

/** Runs a script to its end and returns everything that came, in order. */
export async function runScript(session: QmpSession, steps: readonly Step[]): Promise<Message[]> {
  const transcript: Message[] = [];
  const read = async (): Promise<Message> => {
    const message = parse(await session.next());
    transcript.push(message);
    if ('gone' in message) throw new Error(`the monitor has gone after ${JSON.stringify(transcript)}`);
    return message;
  };
  await session.next(); // the greeting
  for (const step of [{ execute: 'qmp_capabilities' }, ...steps]) {
    if ('wait' in step) {
      const wait = step.wait as (message: Message) => boolean;
      if (transcript.some(wait)) continue;
      while (!wait(await read()));
    } else if ('untilJobs' in step) {
      const isReached = step.untilJobs as (jobs: readonly Record<string, unknown>[]) => boolean;
      for (let isLast = false; !isLast; ) {
        session.send('{"execute": "query-jobs"}');
        let message: Message;
        do message = await read();
        while (!('return' in message));
        // How often was asked is not part of the transcript.
        transcript.pop();
        isLast = isReached(message.return as Record<string, unknown>[]);
        if (!isLast) await new Promise((resolve) => setTimeout(resolve, 5));
      }
    } else {
      session.send(JSON.stringify(step));
      let message: Message;
      do message = await read();
      while (!('return' in message) && !('error' in message));
    }
  }
  return transcript;
}

function parse(line: string): Message {
  if (!line.startsWith('{')) return { printed: line };
  const message = JSON.parse(line.replace(/#block\d+/g, '#block')) as Message;
  const { timestamp: _, ...rest } = message;
  return rest;
}
