/**
 * Character devices and who listens on them: monitors (`-qmp`, `-monitor`, `-mon`) and the qtest protocol (`-qtest`). Nobody is
 * served before the machine is complete.
 */
import { asBlockError, BlockError, invalid } from '../../base/errors.ts';
import type { Connection } from '../../platform/connection.ts';
import { joinedConnections } from '../../platform/joined-connections.ts';
import { OptionValues, parseQemuOpts } from '../../qapi/qemu-opts.ts';
import { QmpClient } from '../../qmp/client.ts';
import type { QmpServer } from '../../qmp/server.ts';
import type { Chardevs } from '../chardev/chardevs.ts';
import { readChardevName } from '../chardev/legacy.ts';
import { type ChardevServices, describeChardev } from '../chardev/options.ts';
import type { ChardevUser } from '../chardev/user.ts';
import type { HmpCommand } from '../hmp/command.ts';
import { serveReadline } from '../hmp/readline.ts';
import type { Tool } from '../shared/tool.ts';
import type { Step } from './options.ts';
import { QtestServer } from './qtest.ts';
import type { QtestClock } from './qtest-clock.ts';

/** A port of the machine; a break is asked for where it takes turns with a monitor. */
interface Port {
  connect(connection: Connection): void;
  sendBreak(): string;
}

/** A character device that is given by name. */
interface NamedDevice {
  readonly context: string;
  readonly id: string;
  /** Beyond those in its name, as `-chardev` has them. */
  readonly options?: string;
}

const notAName = (value: string): string => `'${value}' is not a valid char driver`;
const parseError = (value: string): string => `parse error: ${value}`;

export class Monitors {
  private qtest: QtestServer | undefined;
  private opened = 0;
  /** Ids of the chardevs that monitors have. */
  private readonly monitored = new Set<string>();

  constructor(
    private readonly tool: Tool,
    private readonly server: QmpServer,
    private readonly chardevs: Chardevs,
    private readonly daemonize: boolean,
    /** Of the human monitor. */
    private readonly commands: readonly HmpCommand[],
  ) {}

  /** `-chardev`. Errors: BlockError. */
  async addChardev(text: string, context: string, id?: string): Promise<void> {
    await this.chardevs.add(text, this.services(context), id);
  }

  private services(context: string): ChardevServices {
    const { tool, daemonize, server } = this;
    return { ...tool.commentsOn(context), daemonize, graph: server.graph };
  }

  /** `-qmp`, `-qmp-pretty` and `-monitor`. Errors: BlockError. */
  async open({ name, value }: Step, context: string): Promise<void> {
    if (value === 'none' && name === 'monitor') return;
    if (value.startsWith('chardev:')) this.checkUnmonitored(value.slice('chardev:'.length));
    const id = `compat_monitor${this.opened++}`;
    const user = name === 'monitor' ? this.readline() : this.control(name === 'qmp-pretty');
    await this.openNamed(value, { context, id }, user);
  }

  /**
   * Opens the character device that a monitor, or a port of the machine, is given by name. What it connects to is handed
   * over once clients are answered. Errors: BlockError.
   */
  private async openNamed(value: string, device: NamedDevice, user: ChardevUser): Promise<void> {
    if (value.startsWith('chardev:')) {
      this.chardevs.use(value.slice('chardev:'.length), user);
      return;
    }
    await this.addNamed(value, device);
    this.chardevs.use(device.id, user);
  }

  private async addNamed(value: string, { context, id, options = '' }: NamedDevice): Promise<void> {
    const { tool } = this;
    // Older spellings are usual here.
    const services = { ...this.services(context), warn: () => {} };
    const name = readChardevName(value);
    try {
      if ('problem' in name) throw invalid(name.problem === 'unknown' ? notAName(value) : parseError(value));
      describeChardev(name.text + options, services, id);
    } catch (error) {
      if (!(error instanceof BlockError) || error.message === parseError(value)) throw error;
      tool.report(context === '' ? error.message : `${context}: ${error.message}`, error.hint);
      throw invalid(parseError(value));
    }
    await this.chardevs.add(name.text + options, services, id);
  }

  /** Errors: a monitor has this chardev already. */
  private checkUnmonitored(id: string): void {
    if (this.monitored.has(id)) throw invalid(`Duplicate ID '${id}' for mon`);
    this.monitored.add(id);
  }

  /**
   * A port of a machine without a processor: what is typed is taken and goes nowhere, for nobody reads it. `mon:DEVICE` is a
   * monitor's as well. Errors are reported.
   */
  async openSilentPort({ name, value }: Step, context: string, id: string): Promise<void> {
    if (value === 'none') return;
    try {
      await this.openPort(
        value,
        { context, id },
        {
          connect: (connection) =>
            connection.start({ data: () => {}, drained: () => {}, ended: () => {}, closed: () => {} }),
          sendBreak: () => `nobody listens to the ${name} port`,
        },
      );
    } catch (error) {
      const { message } = asBlockError(error);
      if (message !== parseError(value) && !value.startsWith('chardev:'))
        this.tool.report(`${context}: ${message}`);
      throw invalid(`could not connect ${name} device to character backend '${value}'`);
    }
  }

  /** `mon:DEVICE`: a port of the machine and a human monitor take turns on it. Errors: BlockError. */
  async openPort(value: string, device: NamedDevice, { connect, sendBreak }: Port): Promise<void> {
    const port: ChardevUser = {
      kind: 'port',
      connect: (connection) => void connect(connection),
      sendBreak,
    };
    if (!value.startsWith('mon:')) {
      await this.openNamed(value, device, port);
      return;
    }
    const shared = value.slice('mon:'.length);
    // Every key is for the port or the monitor.
    const options = shared === 'stdio' ? ',mux=on,signal=off' : ',mux=on';
    await this.addNamed(shared, { ...device, options });
    this.chardevs.use(device.id, this.readline());
    this.chardevs.use(device.id, port);
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
    );
  }

  private readline(): ChardevUser {
    return {
      kind: 'monitor',
      connect: (connection) => serveReadline(this.server, connection, this.commands),
    };
  }

  private control(pretty: boolean): ChardevUser {
    return { kind: 'control', connect: (connection) => void this.server.connect(connection, { pretty }) };
  }

  /** `-qtest`. Errors are reported. */
  async serveQtest(name: string | undefined, log: string | undefined, clock: QtestClock): Promise<void> {
    const { tool } = this;
    if (name === undefined) return;
    const device = { context: '', id: 'qtest' };
    try {
      const connect = (connection: Connection): undefined => void this.qtest?.connect(connection);
      await this.openNamed(name, device, { kind: 'control', connect });
    } catch (error) {
      const failure = asBlockError(error);
      if (failure.message !== parseError(name)) tool.reportError(failure);
      tool.fail(`Failed to initialize device for qtest: "${name}"`);
    }
    this.qtest = await tool.attempt(async () => new QtestServer(clock, log));
  }

  /** From now on clients are answered. */
  async serve(): Promise<void> {
    const { clock } = await this.tool.platform();
    this.chardevs.serve({
      commitAll: () => void this.commitAll(),
      end: () => void this.server.stop('host-qmp-quit'),
      nowNs: () => clock.nowNs(),
    });
  }

  stopWaiting(): void {
    this.chardevs.stopWaiting();
  }

  close(): void {
    this.chardevs.closeAll();
    this.qtest?.close();
  }
}
