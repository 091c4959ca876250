/** isa-fdc: a floppy controller with a bus for two drives. */
import type { Bus } from '../bus.ts';
import { Device } from '../device.ts';
import type { DeviceType } from '../device-type.ts';
import { floppyType, number32, signed32 } from '../property.ts';

class FloppyController extends Device {
  private floppies: Bus | undefined;

  protected override async open(): Promise<void> {
    const { buses } = this.machine;
    const name = buses.nameFor(this.id, 'floppy-bus');
    this.floppies = buses.add({
      name,
      path: `${this.path}/${name}`,
      kind: 'floppy-bus',
      canHotplug: false,
    });
  }

  protected override async close(): Promise<void> {
    if (this.floppies) this.machine.buses.remove(this.floppies);
    this.floppies = undefined;
  }

  override dependents(): readonly Device[] {
    return this.floppies?.devices ?? [];
  }
}

export const isaFdcType: DeviceType = {
  name: 'isa-fdc',
  busKind: 'ISA',
  properties: [
    number32('iobase', 0x3f0),
    number32('irq', 6),
    number32('dma', 2),
    floppyType('fdtypeA'),
    floppyType('fdtypeB'),
    floppyType('fallback', '288'),
    signed32('bootindexA', -1),
    signed32('bootindexB', -1),
  ],
  create: (machine) => new FloppyController(machine, isaFdcType),
};
