/**
 * `blockyard storage-daemon`, and `qemu-storage-daemon` when started by that name: opens what the command line says,
 * then serves monitors until a client or a signal ends it (specification: cli, section 5).
 *
 * Options take effect in the order given, so a node must come before those that use it, and a chardev before its
 * monitor, and the NBD server before its exports. Clients of monitors are answered when the last one has. What fails is
 * named with its option, and nobody is answered. Not here: exports other than by NBD, and types of objects that there are
 * not; they are refused by name.
 */
import { invalid } from '../../base/errors.ts';
import { drivers } from '../../drivers.ts';
import { closeExports, exportsOf } from '../../exports/block-exports.ts';
import { hostObjectTypes } from '../../objects/host-types.ts';
import { parseOption } from '../../qapi/keyval-values.ts';
import { readSocketAddress } from '../../qapi/socket-address.ts';
import { bool, enumeration, optional, str, struct } from '../../qapi/types.ts';
import { addExport, blockExportOptions } from '../../qmp/commands/block-export-add.ts';
import { nbdServerOptions, readNbdServerOptions } from '../../qmp/commands/nbd-server-start.ts';
import { storageDaemonCommands } from '../../qmp/commands/storage-daemon.ts';
import { withRepositories } from '../../qmp/repositories.ts';
import { QmpServer } from '../../qmp/server.ts';
import { Chardevs } from '../chardev/chardevs.ts';
import { chardevQueries } from '../chardev/queries.ts';
import { detach, isBackgroundProcess, startInBackground } from '../shared/background.ts';
import { type Daemon, runDaemon } from '../shared/daemon.ts';
import { withObjectOptions } from '../shared/object-types.ts';
import { LockedPidfile, pidfileContext } from '../shared/pidfile.ts';
import { addNode, addObject } from '../shared/server-options.ts';
import { runTool, type Terminal, Tool } from '../shared/tool.ts';
import { printHelp, printVersion } from './help.ts';
import { type CommandLine, readCommandLine, type Step } from './options.ts';

export function main(argv: string[], programName: string, terminal?: Terminal): Promise<number> {
  const tool = new Tool(programName, terminal);
  return runTool(tool, async () => {
    const line = readCommandLine(tool, argv);
    if (line.print) {
      if (line.print === 'help') printHelp(tool);
      else printVersion(tool);
      return 0;
    }
    if (line.daemonize && !isBackgroundProcess()) return startInBackground();
    return runDaemon(tool, new StorageDaemon(tool, line, await tool.platform()));
  });
}

const monitorOptions = struct('MonitorOptions', {
  id: optional(str),
  mode: optional(enumeration('MonitorMode', ['readline', 'control'])),
  pretty: optional(bool),
  chardev: str,
});

class StorageDaemon implements Daemon {
  private readonly server: QmpServer;
  private readonly chardevs = new Chardevs();
  /** Undefined: we wrote none, and one that is there is somebody else's. */
  private pidfile: LockedPidfile | undefined;

  constructor(
    private readonly tool: Tool,
    private readonly line: CommandLine,
    platform: Awaited<ReturnType<Tool['platform']>>,
  ) {
    const reportBug = (error: unknown): void => tool.reportInternalError(error);
    this.server = new QmpServer({
      platform,
      drivers,
      objectTypes: hostObjectTypes,
      commands: [
        ...withRepositories(withObjectOptions(storageDaemonCommands)),
        ...chardevQueries(this.chardevs),
      ],
      beforeEnd: closeExports,
      reportBug,
    });
  }

  get whenEnded(): Promise<void> {
    return this.server.whenEnded;
  }

  async start(): Promise<void> {
    const { tool, line } = this;
    (await tool.trace()).begin();
    for (const step of line.steps) await this.take(step);
    if (line.operand !== undefined) tool.fail(`${line.operand}: Unexpected argument`);
    const { pidfile } = line;
    if (pidfile !== undefined) {
      const create = (): Promise<LockedPidfile> => LockedPidfile.create(pidfile);
      this.pidfile = await tool.attempt(create, { context: pidfileContext });
    }
    const { clock } = await tool.platform();
    this.chardevs.serve({
      // There are no disks but nodes.
      commitAll: () => {},
      end: () => void this.server.stop(),
      nowNs: () => clock.nowNs(),
    });
    if (line.daemonize) await detach();
  }

  async stop(): Promise<void> {
    this.chardevs.stopWaiting();
    await this.server.stop();
  }

  async close(): Promise<void> {
    this.chardevs.closeAll();
    await this.server.close();
    await this.pidfile?.remove();
  }

  /** Reports what goes wrong with the option in front: `--blockdev ARGUMENT: …` */
  private take(step: Step): Promise<void> {
    const context = `${step.spelling} ${step.value}`;
    return this.tool.attemptOption(() => this.perform(step, context), { context });
  }

  private async perform({ name, value }: Step, context: string): Promise<void> {
    const { tool, server } = this;
    const { graph } = server;
    switch (name) {
      case 'blockdev':
        return addNode(server, value);
      case 'chardev':
        return this.chardevs.add(value, {
          daemonize: this.line.daemonize,
          graph,
          ...tool.commentsOn(context),
        });
      case 'monitor':
        return this.addMonitor(value);
      case 'object':
        return addObject(tool, server, value);
      case 'nbd-server':
        return this.startNbdServer(value);
      case 'export':
        return addExport(graph, parseOption(blockExportOptions, value, 'type'));
      case 'trace':
        return this.takeTrace(value, context);
    }
  }

  private async startNbdServer(text: string): Promise<void> {
    const { addr, ...options } = parseOption(nbdServerOptions, text);
    await exportsOf(this.server.graph).startServer(readSocketAddress(addr), readNbdServerOptions(options));
  }

  private async takeTrace(text: string, context: string): Promise<void> {
    const log = await this.tool.trace();
    log.take(text, context);
    log.begin();
  }

  private addMonitor(text: string): void {
    const { chardev: id, mode, pretty } = parseOption(monitorOptions, text, 'chardev');
    this.chardevs.use(id, {
      kind: 'control',
      connect: (connection) => void this.server.connect(connection, { pretty }),
    });
    if (mode === 'readline') throw invalid('Only QMP is supported');
  }
}
