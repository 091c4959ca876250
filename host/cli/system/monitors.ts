/**
 * Character devices and who listens on them: monitors (`-qmp`, `-monitor`, `-mon`) and the qtest protocol (`-qtest`). Nobody is
 * served before the machine is complete.
 */
import { BlockError, invalid } from '../../base/errors.ts';
import { OptionValues, parseQemuOpts } from '../../qapi/qemu-opts.ts';
import type { Connection } from '../../qmp/monitor.ts';
import type { QmpServer } from '../../qmp/server.ts';
import type { Chardev } from '../chardev/chardev.ts';
import { chardevOptionsFrom } from '../chardev/legacy.ts';
import { Chardevs } from '../chardev/options.ts';
import { serveReadline } from '../hmp/readline.ts';
import type { Tool } from '../shared/tool.ts';
import type { Step } from './options.ts';
import { QtestServer } from './qtest.ts';
import type { QtestClock } from './qtest-clock.ts';

export class Monitors {
  private readonly chardevs = new Chardevs();
  private readonly waiting: (() => void)[] = [];
  private readonly qtests: QtestServer[] = [];
  private opened = 0;

  constructor(
    private readonly tool: Tool,
    private readonly server: QmpServer,
    private readonly daemonize: boolean,
  ) {}

  /** `-chardev`. Errors: BlockError. */
  async addChardev(text: string, context: string, id?: string): Promise<void> {
    const { tool, daemonize } = this;
    const services = {
      daemonize,
      warn: (message: string, hint?: string) => tool.report(`${context}: warning: ${message}`, hint),
      info: (message: string) => tool.report(`${context}: info: ${message}`),
    };
    await this.chardevs.add(text, services, id);
  }

  /** `-qmp`, `-qmp-pretty` and `-monitor`. Errors: BlockError. */
  async open({ name, value }: Step, context: string): Promise<void> {
    if (value === 'none') return;
    const chardev = await this.openNamed(value, context, `compat_monitor${this.opened++}`);
    if (name === 'monitor') this.serveReadline(chardev);
    else this.serveQmp(chardev, name === 'qmp-pretty');
  }

  /** The character device that a monitor, or a port of the machine, is given by name. Errors: BlockError. */
  async openNamed(value: string, context: string, id: string): Promise<Chardev> {
    if (value.startsWith('chardev:')) return this.chardevs.use(value.slice('chardev:'.length));
    const text = chardevOptionsFrom(value);
    if (text === undefined) {
      this.tool.report(`${context}: '${value}' is not a valid char driver`);
      throw invalid(`parse error: ${value}`);
    }
    await this.addChardev(text, context, id);
    return this.chardevs.use(id);
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
    const chardev = this.chardevs.use(id);
    if (mode === 'readline') this.serveReadline(chardev);
    else this.serveQmp(chardev, values.bool('pretty') ?? false);
  }

  private serveReadline(chardev: Chardev): void {
    this.waiting.push(() => chardev.serve((connection) => serveReadline(this.server, connection)));
  }

  private serveQmp(chardev: Chardev, pretty: boolean): void {
    this.waiting.push(() => chardev.serve((connection) => this.server.connect(connection, { pretty })));
  }

  /** `-qtest`. Errors are reported. */
  async serveQtest(name: string | undefined, log: string | undefined, clock: QtestClock): Promise<void> {
    const { tool } = this;
    if (name === undefined) return;
    const chardev = await tool.attempt(async () => {
      try {
        return await this.openNamed(name, `-qtest ${name}`, 'qtest');
      } catch (error) {
        if (error instanceof BlockError) tool.reportError(error);
        throw invalid(`Failed to initialize device for qtest: "${name}"`);
      }
    });
    const server = await tool.attempt(async () => new QtestServer(clock, log));
    this.qtests.push(server);
    this.waiting.push(() => chardev.serve((connection) => server.connect(connection)));
  }

  /** Hands over connections of `chardev` once clients are answered. */
  whenServing(chardev: Chardev, onConnection: (connection: Connection) => void): void {
    this.waiting.push(() => chardev.serve(onConnection));
  }

  /** From now on clients are answered. */
  serve(): void {
    for (const begin of this.waiting.splice(0)) begin();
  }

  close(): void {
    this.chardevs.closeAll();
    for (const server of this.qtests) server.close();
  }
}
