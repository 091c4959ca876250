/** A machine in this process: a QMP server with all commands, a client that has negotiated, and its devices. */
import { tmpdir } from 'node:os';
import { withoutUndefined } from '../../host/base/without-undefined.ts';
import type { DriverDefinition } from '../../host/block/driver.ts';
import { drivers } from '../../host/drivers.ts';
import type { BlockDevice } from '../../host/machine/block-device.ts';
import { addBuiltInDevices, addDefaultDrives } from '../../host/machine/default-devices.ts';
import { deviceTypes } from '../../host/machine/device-types.ts';
import { parseDrive } from '../../host/machine/drive-options.ts';
import type { Machine } from '../../host/machine/machine.ts';
import { findMachineType } from '../../host/machine/machine-types.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';
import type { Clock, Platform } from '../../host/platform/platform.ts';
import { parseQemuOpts } from '../../host/qapi/qemu-opts.ts';
import { systemCommands } from '../../host/qmp/commands/system.ts';
import { QmpServer } from '../../host/qmp/server.ts';
import { RecordingConnection } from './recording-connection.ts';

type Answer = Record<string, unknown>;

export interface TestMachineOptions {
  type?: string;
  drives?: readonly string[];
  devices?: readonly string[];
  /** Nodes to be added, in the form of blockdev-add. */
  nodes?: readonly object[];
  moreDrivers?: readonly DriverDefinition[];
  platform?: Platform;
  guestClock?: Clock;
  hasDefaults?: boolean;
}

export class TestMachine {
  private readonly client = new RecordingConnection();
  /** Events since somebody looked. */
  private events: string[] = [];

  private constructor(
    readonly server: QmpServer,
    readonly machine: Machine,
  ) {
    server.connect(this.client);
  }

  static async start(options: TestMachineOptions = {}): Promise<TestMachine> {
    const { type = 'pc', drives = [], devices = [], nodes = [], platform = nodePlatform } = options;
    const server = new QmpServer({
      platform,
      drivers: [...drivers, ...(options.moreDrivers ?? [])],
      commands: systemCommands,
      ...(options.guestClock ? { guestClock: options.guestClock } : {}),
      machine: {
        type: findMachineType(type)!,
        name: undefined,
        uuid: '00000000-0000-0000-0000-000000000000',
        deviceTypes,
        temporaryDirectory: tmpdir(),
        hasDefaults: options.hasDefaults ?? false,
        endsOnReset: false,
      },
    });
    const machine = server.machine!;
    for (const node of nodes) await server.runLocally('blockdev-add', () => node);
    for (const text of drives) {
      await machine.addDrive(
        parseDrive(text, machine.options.type.drives, () => {}),
        '',
      );
    }
    await addDefaultDrives(machine, { cd: true, floppy: true });
    await addBuiltInDevices(machine);
    for (const text of devices) await plug(machine, text);
    machine.isSetUp = true;
    const test = new TestMachine(server, machine);
    await test.answer('qmp_capabilities');
    return test;
  }

  /** The whole answer to a command. */
  async answer(execute: string, args?: object): Promise<Answer> {
    this.client.send(args === undefined ? { execute } : { execute, arguments: args });
    for (;;) {
      const answer = this.sort();
      if (answer) return answer;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** What a command returns. Throws its error. */
  async run(execute: string, args?: object): Promise<unknown> {
    const answer = await this.answer(execute, args);
    if ('error' in answer) throw new Error((answer['error'] as { desc: string }).desc);
    return answer['return'];
  }

  /** `NAME {data}` of the events since the last time, the members in alphabetical order. */
  async takeEvents(): Promise<string[]> {
    // Some come right after the answer.
    await new Promise((resolve) => setImmediate(resolve));
    this.sort();
    return this.events.splice(0);
  }

  device(id: string): BlockDevice {
    return this.machine.findDevice(id) as BlockDevice;
  }

  async close(): Promise<void> {
    await this.server.stop();
    await this.server.close();
    const left = this.server.graph.nodes().map(({ name }) => name);
    if (left.length > 0) throw new Error(`nodes are left: ${left.join(' ')}`);
  }

  private sort(): Answer | undefined {
    let answer: Answer | undefined;
    for (const message of this.client.take()) {
      if ('event' in message) {
        const data = message['data'];
        this.events.push(
          `${message['event']}${data === undefined ? '' : ` ${JSON.stringify(data, Object.keys(data as object).sort())}`}`,
        );
      } else if (!('QMP' in message)) answer = message;
    }
    return answer;
  }
}

/** `-device` in text. */
export async function plug(machine: Machine, text: string): Promise<void> {
  const { id, pairs } = parseQemuOpts(text, { impliedKey: 'driver' });
  const options = Object.fromEntries(pairs.map(({ name, value }) => [name, value]));
  await machine.addDevice({ ...options, ...withoutUndefined({ id }) }, true);
}
