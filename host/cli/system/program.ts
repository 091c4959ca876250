/**
 * A program that is a machine: its storage, its monitors and, when somebody runs a guest on it, that.
 *
 * Whatever order the options have: objects and character devices come first, then block nodes, drives, the machine's own
 * devices, those of the user, the guest, and at last the monitors. What fails is named with its option, and nothing is
 * served.
 */
import { type BlockError, invalid } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import { drivers } from '../../drivers.ts';
import { closeExports } from '../../exports/block-exports.ts';
import { addBuiltInDevices, addDefaultDrives, checkOrphans } from '../../machine/default-devices.ts';
import { deviceTypes } from '../../machine/device-types.ts';
import { GlobalProperties, type GlobalProperty } from '../../machine/globals.ts';
import type { Machine, MachineOptions } from '../../machine/machine.ts';
import { SavedMachines } from '../../machine/saved-machines.ts';
import { hostObjectTypes } from '../../objects/host-types.ts';
import type { ObjectOptions } from '../../objects/types.ts';
import { systemCommands } from '../../qmp/commands/system.ts';
import { withRepositories } from '../../qmp/repositories.ts';
import { QmpServer } from '../../qmp/server.ts';
import { Chardevs } from '../chardev/chardevs.ts';
import { chardevQueries } from '../chardev/queries.ts';
import { humanCommands, humanMonitor } from '../hmp/monitor.ts';
import { detach } from '../shared/background.ts';
import { type Daemon, runDaemon } from '../shared/daemon.ts';
import { withObjectOptions } from '../shared/object-types.ts';
import { LockedPidfile, pidfileContext } from '../shared/pidfile.ts';
import { addNode } from '../shared/server-options.ts';
import type { Tool } from '../shared/tool.ts';
import {
  checkAbsent,
  checkProcessorModel,
  checkProcessors,
  readGlobal,
  readMachine,
  readMemory,
  readName,
  readUuid,
} from './machine-options.ts';
import { Monitors } from './monitors.ts';
import { readMachineObject } from './object-option.ts';
import type { CommandLine, Step } from './options.ts';
import { QtestClock } from './qtest-clock.ts';
import { addDevice, addDrive, replacesDefault } from './storage-options.ts';

/** What a guest is started with: the machine is complete and does not run yet. */
export interface GuestServices {
  readonly tool: Tool;
  readonly line: CommandLine;
  readonly machine: Machine;
  readonly monitors: Monitors;
  /** Runs `act` for an option, which is named when that fails. */
  take(step: Step, act: (context: string) => Promise<void>): Promise<void>;
  /** The guest has switched itself off. */
  powerOff(): void;
}

/** Who runs the guest's code, in programs where somebody does. */
export interface GuestRunner {
  /** Errors: BlockError; ExitStatus when it has been reported. */
  start(services: GuestServices): Promise<void>;
  /** Harmless when it was never started. */
  close(): Promise<void>;
}

export class MachineProgram implements Daemon {
  private readonly server: QmpServer;
  private readonly monitors: Monitors;
  private pidfile: LockedPidfile | undefined;

  private constructor(
    private readonly tool: Tool,
    private readonly line: CommandLine,
    private readonly machine: Machine,
    server: QmpServer,
    chardevs: Chardevs,
    private readonly clock: QtestClock | undefined,
    private readonly guest: GuestRunner | undefined,
  ) {
    this.server = server;
    this.monitors = new Monitors(tool, server, chardevs, line.has('daemonize'), humanCommands);
  }

  /** Runs it to its end; gives the status to exit with. */
  static async run(tool: Tool, line: CommandLine, guest?: GuestRunner): Promise<number> {
    const log = await tool.trace();
    await tool.attempt(async () => log.begin());
    const { options, isQtest } = await tool.attempt(async () => machineOptions(tool, line));
    const globals: GlobalProperty[] = [];
    for (const step of line.all('global')) {
      const context = contextOf(step);
      const { warn } = tool.commentsOn(context);
      globals.push(await tool.attempt(async () => readGlobal(step.value, warn, !step.place), { context }));
    }
    const platform = await tool.platform();
    const clock = isQtest || line.has('qtest') ? new QtestClock(platform.clock) : undefined;
    const chardevs = new Chardevs();
    const server = new QmpServer({
      platform,
      drivers,
      objectTypes: hostObjectTypes,
      commands: [
        ...withRepositories(withObjectOptions(systemCommands)),
        ...chardevQueries(chardevs),
        humanMonitor,
      ],
      machine: { ...options, globals: new GlobalProperties(globals) },
      ...withoutUndefined({ guestClock: clock }),
      beforeEnd: closeExports,
      reportBug: (error) => tool.reportInternalError(error),
    });
    const program = new MachineProgram(tool, line, server.machine!, server, chardevs, clock, guest); // it was given a machine
    return runDaemon(tool, program);
  }

  get whenEnded(): Promise<void> {
    return this.server.whenEnded;
  }

  async start(): Promise<void> {
    const { tool, line, machine, server } = this;
    const pidfile = line.get('pidfile');
    if (pidfile !== undefined) {
      const create = (): Promise<LockedPidfile> => LockedPidfile.create(pidfile);
      this.pidfile = await tool.attempt(create, { context: pidfileContext });
    }
    const absent = ['display', 'vga', 'net', 'nic', ...(this.guest ? ['parallel'] : [])];
    for (const step of line.all(...absent)) {
      await this.take(step, async () => checkAbsent(step.name, step.value));
    }
    await this.addObjects();
    for (const step of line.all('chardev'))
      await this.take(step, (context) => this.monitors.addChardev(step.value, context));
    for (const step of line.all('qmp', 'qmp-pretty', 'monitor')) {
      await this.take(step, (context) => this.monitors.open(step, context));
    }
    await this.openPorts();
    for (const step of line.all('blockdev')) {
      await this.take(step, () => addNode(server, step.value));
    }
    const addVirtio = await this.setUpDrives();
    for (const step of line.all('device')) {
      await this.take(step, (context) => addDevice(tool, machine, step.value, context));
    }
    for (const add of addVirtio) await add();
    await tool.attempt(async () => checkOrphans(machine));
    this.warnOfFloppyControllers();
    for (const step of line.all('mon')) await this.take(step, async () => this.monitors.use(step.value));
    await this.guest?.start({
      tool,
      line,
      machine,
      monitors: this.monitors,
      take: (step, act) => this.take(step, act),
      powerOff: () => void this.powerOff(),
    });
    if (this.clock) await this.monitors.serveQtest(line.get('qtest'), line.get('qtest-log'), this.clock);
    machine.isSetUp = true;
    for (const name of machine.options.globals?.unknown(deviceTypes) ?? []) {
      tool.warn(`global ${name} has invalid class name`);
    }
    await this.restoreSaved();
    if (!line.has('S')) await machine.cont();
    await this.monitors.serve();
    if (line.has('daemonize')) await detach();
  }

  async stop(): Promise<void> {
    this.monitors.stopWaiting();
    await this.server.stop('host-signal');
  }

  private async powerOff(): Promise<void> {
    if (await this.machine.powerOff()) await this.server.stop('guest-shutdown');
  }

  /** All are read before any is made; what is wrong with one that is made is said without the option. */
  private async addObjects(): Promise<void> {
    const { tool, line, server } = this;
    const wanted: ObjectOptions[] = [];
    for (const step of line.all('object')) {
      await this.take(step, async () => {
        const { value } = step;
        const options = readMachineObject(tool, step);
        if (!value.startsWith('{') && wanted.some(({ id }) => id === options.id)) {
          throw invalid(`Duplicate ID '${options.id}' for object`);
        }
        wanted.push(options);
      });
    }
    for (const options of wanted) await tool.attempt(() => server.objects.add(options));
  }

  /** `-serial` and `-parallel`, where no guest has a use for them. */
  private async openPorts(): Promise<void> {
    if (this.guest) return;
    for (const kind of ['serial', 'parallel']) {
      for (const [index, step] of this.line.all(kind).entries()) {
        await this.take(step, (context) => this.monitors.openSilentPort(step, context, `${kind}${index}`));
      }
    }
  }

  /** A guest looks for one at a fixed place. */
  private warnOfFloppyControllers(): void {
    const { tool, machine } = this;
    const controllers = machine.devices.filter(
      ({ typeName, properties }) =>
        typeName === 'isa-fdc' && properties.find(({ name }) => name === 'iobase')?.get?.() === 0x3f0,
    );
    if (controllers.length < 2) return;
    tool.warn(
      'multiple floppy disk controllers with iobase=0x3f0 have been found',
      'the one being picked for CMOS setup might not reflect your intent',
    );
  }

  /** `-loadvm` */
  private async restoreSaved(): Promise<void> {
    const { tool, line, machine } = this;
    const tag = line.get('loadvm');
    if (tag === undefined) return;
    await tool.attempt(() => new SavedMachines(machine, (reason) => tool.report(reason)).load(tag));
  }

  /** Gives what makes the devices of virtio drives: they come after the user's. */
  private async setUpDrives(): Promise<(() => Promise<void>)[]> {
    const { tool, line, machine } = this;
    const virtio: (() => Promise<void>)[] = [];
    for (const step of line.all('drive', 'operand', 'hda', 'hdb', 'hdc', 'hdd', 'cdrom', 'fda', 'fdb')) {
      await this.take(step, async (context) => {
        const drive = await addDrive(tool, machine, step, { context, snapshot: line.has('snapshot') });
        if (drive.interface !== 'virtio') return;
        virtio.push(() =>
          this.take(step, async () => {
            await machine.addDevice({ driver: 'virtio-blk-pci', drive: drive.backend.name }, true);
            drive.isAutomatic = true;
          }),
        );
      });
    }
    const devices = line.all('device').map(({ value }) => value);
    await tool.attempt(async () => {
      await addDefaultDrives(machine, replacesDefault(devices));
      await addBuiltInDevices(machine);
    });
    return virtio;
  }

  async close(): Promise<void> {
    this.monitors.close();
    await this.guest?.close();
    await this.server.close();
    await this.pidfile?.remove();
  }

  /** Reports what goes wrong with the option in front: `-blockdev ARGUMENT: …` */
  private take(step: Step, act: (context: string) => Promise<void>): Promise<void> {
    const { place } = step;
    const context = contextOf(step);
    return this.tool.attemptOption(() => act(context), place === undefined ? { context } : { place });
  }
}

/** As messages name an option. */
function contextOf({ name, value, given = value, place }: Step): string {
  return place ?? (name === 'operand' ? given : `-${name} ${given}`);
}

interface Choice {
  options: MachineOptions;
  isQtest: boolean;
}

function machineOptions(tool: Tool, line: CommandLine): Choice {
  if (line.has('enable-kvm')) throw invalid('-enable-kvm: there is no processor');
  const { type, isQtest, hasAcpi } = readMachine(
    line.get('machine'),
    line.all('accel').map(({ value }) => value),
    (message, hint) => tool.warn(message, hint),
  );
  checkProcessors(line.get('smp'), type);
  checkProcessorModel(line.get('cpu'));
  const memoryBytes = readMemory(line.get('m'), type);
  const uuid = line.get('uuid');
  try {
    readUuid(uuid);
  } catch (error) {
    throw (error as BlockError).within(`-uuid ${uuid}`);
  }
  return {
    isQtest,
    options: {
      type,
      hasAcpi,
      name: readName(line.get('name'), (message, hint) => tool.warn(message, hint)),
      uuid: readUuid(uuid),
      deviceTypes,
      memoryBytes,
      temporaryDirectory: process.env['TMPDIR'] ?? '/var/tmp',
      hasDefaults: !line.has('nodefaults'),
      endsOnReset: line.has('no-reboot'),
      staysOnPowerOff: line.has('no-shutdown'),
    },
  };
}
