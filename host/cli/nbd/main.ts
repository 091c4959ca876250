/**
 * `blockyard nbd`, and `qemu-nbd` when started by that name: serves one image to NBD clients, or lists what another server has
 * (specification: nbd, section 6).
 *
 * It ends when the last client has gone, unless it is told to stay, and with the signals that end programs; the image is closed
 * then, and everything that was acknowledged is in it. It listens where the command line says, or on the socket that it was
 * started with (LISTEN_FDS).
 */

import { createDeferred } from '../../base/deferred.ts';
import { invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { addTemporaryOverlay, replaced } from '../../block/layers.ts';
import type { BlockNode } from '../../block/node.ts';
import { objectTableOf } from '../../block/object-table.ts';
import type { NodeOptions } from '../../block/options.ts';
import { exportsOf } from '../../exports/block-exports.ts';
import { sockets } from '../../platform/node/sockets.ts';
import type { SocketAddress } from '../../platform/sockets.ts';
import { type Secure, secureServer } from '../../platform/tls.ts';
import { versionText } from '../../qmp/version.ts';
import { optionTexts } from '../manual/option-texts.ts';
import { fromSpecs, helpText } from '../manual/options.ts';
import { detach, isBackgroundProcess, startInBackground } from '../shared/background.ts';
import { type Daemon, runDaemon } from '../shared/daemon.ts';
import { parseImageOptions } from '../shared/image-options.ts';
import { LockedPidfile } from '../shared/pidfile.ts';
import { loadSnapshot } from '../shared/snapshot-param.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { connectDevice, disconnectDevice, socketOfDevice } from './kernel-device.ts';
import { listExports } from './list.ts';
import { type NbdCommandLine, readCommandLine, specs } from './options.ts';

const defaultPort = '10809';
const defaultBind = '0.0.0.0';
/** The first descriptor that a program is started with beyond the three that all have. */
const firstInherited = 3;

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, async () => {
    const line = await readCommandLine(tool, argv);
    if (line.print) {
      tool.out(line.print === 'version' ? `${tool.name} ${versionText}\n` : help(tool));
      return 0;
    }
    const address = addressOf(tool, line);
    if (line.list) {
      const secure = await secureListing(tool, line, address);
      await tool.attempt(async () => tool.out(await listExports(sockets, address, secure)));
      return 0;
    }
    if (line.disconnect) return disconnectDevice(tool, line.file);
    if (line.fork && !isBackgroundProcess()) return startInBackground();
    const graph = await tool.createGraph();
    return runDaemon(tool, new NbdProgram(tool, line, graph, address));
  });
}

/** What the list of a server is asked for through. The command line has been checked. */
async function secureListing(
  tool: Tool,
  { tlsCreds, tlsHostname }: NbdCommandLine,
  address: SocketAddress,
): Promise<Secure | undefined> {
  if (tlsCreds === undefined) return undefined;
  const credentials = objectTableOf(await tool.createGraph()).credentials(tlsCreds, 'client');
  const hostname = tlsHostname ?? (address.type === 'inet' ? address.host : undefined);
  return secureServer(credentials, hostname);
}

function help(tool: Tool): string {
  return `Usage: ${tool.name} [OPTIONS] FILE
Serves an image to NBD clients, or lists the exports of a server (-L)

${helpText(fromSpecs(specs, optionTexts.nbd))}`;
}

/** Where it is to listen. */
function addressOf(tool: Tool, { socket, port, bind, device }: NbdCommandLine): SocketAddress {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = process.env;
  if (pid !== undefined && Number(pid) === process.pid && Number(count) > 0) {
    if (Number(count) !== 1) tool.fail('qemu-nbd does not support socket activation with LISTEN_FDS > 1');
    if (port !== undefined) tool.fail("TCP port number can't be set when using socket activation");
    if (bind !== undefined) tool.fail("TCP bind address can't be set when using socket activation");
    if (socket !== undefined) tool.fail("Unix socket can't be set when using socket activation");
    return { type: 'fd', fd: firstInherited };
  }
  if (socket !== undefined) return { type: 'unix', path: socket };
  if (device !== undefined) return { type: 'unix', path: socketOfDevice(device) };
  return { type: 'inet', host: bind ?? defaultBind, port: port ?? defaultPort };
}

class NbdProgram implements Daemon {
  private readonly ended = createDeferred();
  private clients = 0;

  constructor(
    private readonly tool: Tool,
    private readonly line: NbdCommandLine,
    private readonly graph: BlockGraph,
    private readonly address: SocketAddress,
  ) {}

  get whenEnded(): Promise<void> {
    return this.ended.promise;
  }

  async start(): Promise<void> {
    const { tool, line, graph, address } = this;
    const context = `Failed to blk_new_open '${line.file}'`;
    let node = await tool.attempt(() => this.open(), { context });
    if (line.offset > 0) node = await tool.attempt(() => this.behind(node));
    const { snapshot } = line;
    if (snapshot) await tool.attempt(() => loadSnapshot(node, snapshot));
    const options = {
      maxConnections: line.shared,
      handshakeMaxSeconds: line.handshakeLimit,
      tlsCreds: line.tlsCreds,
      tlsAuthz: line.tlsAuthz,
    };
    await tool.attempt(async () => {
      await exportsOf(graph).startServer(address, options, {
        came: () => void this.clients++,
        gone: () => this.gone(),
      });
      await exportsOf(graph).add({
        id: 'disk',
        node,
        writable: !node.readOnly,
        writethrough: line.cache.writethrough,
        name: line.name,
        description: line.description,
        allocationDepth: line.allocationDepth,
        bitmaps: line.bitmaps,
      });
    });
    await graph.unref(node);
    if (line.device !== undefined) connectDevice(tool, line.device);
    const { pidFile } = line;
    // It stays when the program has ended: scripts look for it by that.
    if (pidFile !== undefined) await tool.attempt(() => LockedPidfile.create(pidFile));
    if (line.fork) await detach();
  }

  async stop(): Promise<void> {
    this.ended.resolve();
  }

  close(): Promise<void> {
    return exportsOf(this.graph).closeAll();
  }

  private gone(): void {
    this.clients--;
    if (this.clients === 0 && !this.line.persistent) this.ended.resolve();
  }

  private async open(): Promise<BlockNode> {
    const { line, tool, graph } = this;
    const { file, imageOpts, format, readOnly, temporary, cache, discard, detectZeroes, aio } = line;
    if (aio === 'native' && !cache.flags.direct) {
      throw invalid('aio=native was specified, but it requires cache.direct=on, which was not specified.');
    }
    const flags = {
      ...cache.flags,
      aio,
      readOnly: readOnly || temporary,
      discard: discard === 'unmap',
      detectZeroes,
    };
    const node = imageOpts
      ? await graph.open(parseImageOptions(file, tool, 'file'), flags)
      : await graph.openFile(file, { flags, ...withoutUndefined({ format }) });
    if (!temporary) return node;
    const overlay = { flags: { readOnly, discard: discard === 'unmap', detectZeroes } };
    return replaced(graph, node, (below) =>
      addTemporaryOverlay(graph, below, process.env['TMPDIR'] ?? '/var/tmp', overlay),
    );
  }

  /** What is in the image from the offset on. Errors: BlockError. */
  private async behind(node: BlockNode): Promise<BlockNode> {
    const { offset, readOnly } = this.line;
    if (offset > node.length) {
      await this.graph.unref(node);
      throw invalid(`Offset (${offset}) cannot be greater than size of the containing file (${node.length})`);
    }
    const options: NodeOptions = { driver: 'raw', offset, file: node.name };
    const window = await this.graph.open(options, { readOnly });
    await this.graph.unref(node);
    return window;
  }
}
