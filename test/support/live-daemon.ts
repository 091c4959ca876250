/**
 * A program whose disks are in use: a machine or a storage daemon, ours or QEMU's, with a monitor on a socket, and somebody who writes to
 * the disks as a guest does: through the monitor to a machine's, over NBD to those of a storage daemon.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { BlockBackend } from '../../host/block/backend.ts';
import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import { StreamConnection } from '../../host/platform/node/stream-connection.ts';
import { QmpClient } from '../../host/qmp/client.ts';
import { attach } from './attach.ts';
import { connectWhenListening } from './connect-when-listening.ts';

export interface LiveDisk {
  readonly name: string;
  readonly file: string;
  readonly format: string;
}

export type DaemonKind = 'system' | 'storage-daemon';

interface DaemonSettings {
  readonly kind: DaemonKind;
  /** The program and its first arguments. */
  readonly command: readonly string[];
  /** For its sockets. */
  readonly folder: string;
  readonly disks: readonly LiveDisk[];
}

export class LiveDaemon {
  private readonly backends = new Map<string, BlockBackend>();

  private constructor(
    private readonly settings: DaemonSettings,
    readonly child: ChildProcess,
    /** A monitor of our own. */
    readonly qmp: QmpClient,
  ) {}

  static async start(settings: DaemonSettings): Promise<LiveDaemon> {
    const { kind, command, folder } = settings;
    const [program = '', ...first] = command;
    const args = kind === 'system' ? systemArguments(settings) : storageArguments(settings);
    const child = spawn(program, [...first, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
    let exit: string | undefined;
    child.on('exit', (code, signal) => {
      exit = `${program} has ended: ${code ?? signal}`;
    });
    const socket = await connectWhenListening(join(folder, 'own.sock'), () => {
      if (exit !== undefined) throw new Error(exit);
    });
    const connection = new StreamConnection(socket, socket, () => socket.end());
    const daemon = new LiveDaemon(settings, child, await QmpClient.connect(connection));
    if (kind === 'storage-daemon') await daemon.openDisks();
    return daemon;
  }

  /** Where `--qmp` finds it. */
  get monitor(): string {
    return join(this.settings.folder, 'qmp.sock');
  }

  /** Options of `backup run` by which it is found. */
  get options(): string[] {
    const server = this.settings.kind === 'storage-daemon' ? ['--nbd', nbdUri(this.settings.folder)] : [];
    return ['--qmp', this.monitor, ...server];
  }

  /** Durable when it is over: what is killed later has not lost it. */
  async write(disk: string, pattern: number, offset: number, bytes: number): Promise<void> {
    const backend = this.backends.get(disk);
    if (backend) {
      await backend.write(offset, new Uint8Array(bytes).fill(pattern));
      return backend.flush();
    }
    await this.io(
      disk,
      pattern === 0 ? `write -z -u ${offset} ${bytes}` : `write -P ${pattern} ${offset} ${bytes}`,
    );
    await this.io(disk, 'flush');
  }

  /** Durable, as `write`. Whole clusters read as zeros then; over NBD, where that is the server's affair, they are written as such. */
  async discard(disk: string, offset: number, bytes: number): Promise<void> {
    if (this.backends.has(disk)) return this.write(disk, 0, offset, bytes);
    await this.io(disk, `discard ${offset} ${bytes}`);
    await this.io(disk, 'flush');
  }

  /** Of a machine; durable. */
  async resize(disk: string, bytes: number): Promise<void> {
    await this.qmp.run('block_resize', { 'node-name': this.nodeOf(disk), size: bytes });
    await this.io(disk, 'flush');
  }

  private nodeOf(disk: string): string {
    return this.settings.kind === 'system' ? `${disk}-node` : disk;
  }

  private async io(disk: string, line: string): Promise<void> {
    await this.qmp.run('human-monitor-command', { 'command-line': `qemu-io ${disk} "${line}"` });
  }

  /** What there is besides the disks: nothing is to be left of a backup. */
  async traces(): Promise<unknown> {
    const nodes = (await this.qmp.run('query-named-block-nodes', { flat: true })) as {
      'node-name': string;
    }[];
    const exports = (await this.qmp.run('query-block-exports')) as { id: string }[];
    return {
      nodes: nodes.map((node) => node['node-name']).filter((name) => name.startsWith('blockyard')),
      exports: exports.map(({ id }) => id).filter((id) => id.startsWith('blockyard')),
      jobs: await this.qmp.run('query-jobs'),
    };
  }

  async bitmaps(disk: string): Promise<string[]> {
    const nodes = (await this.qmp.run('query-named-block-nodes', { flat: true })) as unknown as {
      'node-name': string;
      'dirty-bitmaps'?: { name: string }[];
    }[];
    const found = nodes.find((node) => node['node-name'] === this.nodeOf(disk))?.['dirty-bitmaps'] ?? [];
    return found.map(({ name }) => name).sort();
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.gone();
  }

  async stop(): Promise<void> {
    for (const backend of this.backends.values()) await backend.close();
    this.backends.clear();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await this.qmp.run('quit');
      await this.gone();
    }
    this.qmp.close();
  }

  private async gone(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    for (const backend of this.backends.values()) await backend.close().catch(() => {});
    this.backends.clear();
    this.qmp.close();
  }

  private async openDisks(): Promise<void> {
    const graph = createGraph({ platform: nodePlatform, drivers });
    for (const { name } of this.settings.disks) {
      const path = join(this.settings.folder, 'nbd.sock');
      const node = await graph.open({ driver: 'nbd', path, export: name }, { readOnly: false });
      this.backends.set(name, await attach(node, Perm.write));
      await graph.unref(node);
    }
  }
}

function nbdUri(folder: string): string {
  return `nbd+unix:///?socket=${join(folder, 'nbd.sock')}`;
}

function systemArguments({ folder, disks }: DaemonSettings): string[] {
  return [
    ...['-machine', 'none', '-nodefaults', '-display', 'none'],
    ...['-qmp', `unix:${join(folder, 'own.sock')},server=on,wait=off`],
    ...['-qmp', `unix:${join(folder, 'qmp.sock')},server=on,wait=off`],
    ...disks.flatMap(({ name, file, format }) => [
      '-drive',
      `if=none,id=${name},node-name=${name}-node,file=${file},format=${format},discard=unmap`,
    ]),
  ];
}

function storageArguments({ folder, disks }: DaemonSettings): string[] {
  const monitor = (name: string): string[] => [
    ...['--chardev', `socket,id=${name},path=${join(folder, `${name}.sock`)},server=on,wait=off`],
    ...['--monitor', `chardev=${name}`],
  ];
  return [
    ...disks.flatMap(({ name, file, format }) => [
      '--blockdev',
      `driver=${format},node-name=${name},discard=unmap,file.driver=file,file.filename=${file},file.discard=unmap`,
    ]),
    ...['--nbd-server', `addr.type=unix,addr.path=${join(folder, 'nbd.sock')}`],
    ...disks.flatMap(({ name }) => [
      '--export',
      `nbd,id=guest-${name},node-name=${name},name=${name},writable=on`,
    ]),
    ...monitor('own'),
    ...monitor('qmp'),
  ];
}
