/**
 * Character devices and who listens on them: monitors (`-qmp`, `-monitor`, `-mon`) and the qtest protocol (`-qtest`). Nobody is
 * served before the machine is complete.
 */
import { asBlockError, invalid } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import { joinedConnections } from '../../platform/joined-connections.ts';
import { OptionValues, parseQemuOpts } from '../../qapi/qemu-opts.ts';
import { QmpClient } from '../../qmp/client.ts';
import type { QmpServer } from '../../qmp/server.ts';
import { Chardevs, type Typing } from '../chardev/chardevs.ts';
import { chardevOptionsFrom } from '../chardev/legacy.ts';
import { Mux, type MuxServices } from '../chardev/mux.ts';
import type { HmpCommand } from '../hmp/command.ts';
import { serveReadline } from '../hmp/readline.ts';
import type { Tool } from '../shared/tool.ts';
import type { Step } from './options.ts';
import { QtestServer } from './qtest.ts';
import type { QtestClock } from './qtest-clock.ts';

/** A port of the machine that a monitor shares a device with. */
type SharedPort = Pick<MuxServices, 'connectPort' | 'sendBreak'>;

export class Monitors {
  private readonly chardevs = new Chardevs();
  private qtest: QtestServer | undefined;
  private opened = 0;

  constructor(
    private readonly tool: Tool,
    private readonly server: QmpServer,
    private readonly daemonize: boolean,
    /** Of the human monitor. */
    private readonly commands: readonly HmpCommand[],
  ) {}

  /** `-chardev`. Errors: BlockError. */
  async addChardev(text: string, context: string, id?: string): Promise<void> {
    const { tool, daemonize } = this;
    await this.chardevs.add(text, { daemonize, ...tool.commentsOn(context) }, id);
  }

  /** `-qmp`, `-qmp-pretty` and `-monitor`. Errors: BlockError. */
  async open({ name, value }: Step, context: string): Promise<void> {
    if (value === 'none') return;
    const id = `compat_monitor${this.opened++}`;
    const serve = name === 'monitor' ? this.readline() : this.control(name === 'qmp-pretty');
    await this.openNamed(value, { context, id }, serve, name === 'monitor' ? 'keys' : 'lines');
  }

  /**
   * Opens the character device that a monitor, or a port of the machine, is given by name. What it connects to is handed
   * over once clients are answered. Errors: BlockError.
   */
  async openNamed(
    value: string,
    { context, id }: { context: string; id: string },
    onConnection: (connection: Connection) => void,
    typing: Typing = 'lines',
  ): Promise<void> {
    if (value.startsWith('chardev:')) {
      this.chardevs.use(value.slice('chardev:'.length), onConnection, typing);
      return;
    }
    const text = chardevOptionsFrom(value);
    if (text === undefined) {
      this.tool.report(`${context}: '${value}' is not a valid char driver`);
      throw invalid(`parse error: ${value}`);
    }
    await this.addChardev(text, context, id);
    this.chardevs.use(id, onConnection, typing);
  }

  /** `mon:DEVICE`: a port of the machine and a human monitor take turns on it. Errors: BlockError. */
  async openShared(value: string, device: { context: string; id: string }, port: SharedPort): Promise<void> {
    const { tool, server } = this;
    const { clock } = await tool.platform();
    const connect = (terminal: Connection): void =>
      new Mux(terminal, {
        ...port,
        connectMonitor: (connection) => serveReadline(server, connection, this.commands),
        commitAll: () => void this.commitAll(),
        end: () => void server.stop('host-qmp-quit'),
        nowNs: () => clock.nowNs(),
      }).start();
    // Every key is for the port or the monitor.
    const name = value === 'stdio' ? 'stdio,signal=off' : value;
    await this.openNamed(name, device, connect, 'keys');
  }

  private async commitAll(): Promise<void> {
    const [ours, theirs] = joinedConnections();
    this.server.connect(theirs);
    const client = await QmpClient.connect(ours);
    const said = await client.run('human-monitor-command', { 'command-line': 'commit all' });
    if (said !== '') this.tool.report(String(said).trimEnd());
    client.close();
  }

  /** `-mon [chardev=]ID,mode=control,pretty=on`. Errors: BlockError. */
  use(text: string): void {
    const { pairs } = parseQemuOpts(text, { impliedKey: 'chardev' });
    const values = new OptionValues(pairs, [
      { name: 'chardev', type: 'string' },
      { name: 'mode', type: 'string' },
      { name: 'pretty', type: 'bool' },
    ]);
    const id = values.string('chardev');
    const mode = values.string('mode') ?? 'readline';
    if (id === undefined) throw invalid("Parameter 'chardev' is missing");
    if (mode !== 'control' && mode !== 'readline') {
      throw invalid(`Parameter 'mode' does not accept value '${mode}'`);
    }
    this.chardevs.use(
      id,
      mode === 'readline' ? this.readline() : this.control(values.bool('pretty') ?? false),
      mode === 'readline' ? 'keys' : 'lines',
    );
  }

  private readline(): (connection: Connection) => void {
    return (connection) => serveReadline(this.server, connection, this.commands);
  }

  private control(pretty: boolean): (connection: Connection) => void {
    return (connection) => this.server.connect(connection, { pretty });
  }

  /** `-qtest`. Errors are reported. */
  async serveQtest(name: string | undefined, log: string | undefined, clock: QtestClock): Promise<void> {
    const { tool } = this;
    if (name === undefined) return;
    const device = { context: `-qtest ${name}`, id: 'qtest' };
    try {
      await this.openNamed(name, device, (connection) => this.qtest?.connect(connection));
    } catch (error) {
      tool.reportError(asBlockError(error));
      tool.fail(`Failed to initialize device for qtest: "${name}"`);
    }
    this.qtest = await tool.attempt(async () => new QtestServer(clock, log));
  }

  /** From now on clients are answered. */
  serve(): void {
    this.chardevs.serve();
  }

  stopWaiting(): void {
    this.chardevs.stopWaiting();
  }

  close(): void {
    this.chardevs.closeAll();
    this.qtest?.close();
  }
}
