/**
 * What v86 lacks of the power management that its option `acpi` gives a machine: a power button, general events that are cleared
 * when the guest clears them, and states of machines that were saved without all that.
 *
 * v86 has the registers of a PIIX4 and the interrupt of its timer. The button sets a bit beside that of the timer, and the
 * interrupt stays until the guest has cleared the bit, or does not care for it. Of general events there are none; v86 takes the
 * ones that a guest writes to clear them for events, and a Linux then ejects all its PCI devices. What sees the guest switch itself off is power-off.ts.
 */
import type { V86Emulator } from './emulator.ts';

interface Chipset {
  pm1_status: number;
  pm1_enable: number;
  /** General events: two bytes of status, two of which are wanted. */
  readonly gpe: Uint8Array;
  /** Raises the interrupt of the timer, or lowers it; gives the milliseconds until it wants to be called again. */
  timer(now: number): number;
}

interface Processor {
  readonly io: {
    register_write(port: number, device: unknown, write8: (value: number) => void): void;
  };
  readonly devices: { acpi: Chipset | undefined };
  /** One number: whether the timer is called. */
  readonly acpi_enabled: Uint8Array;
  device_raise_irq(irq: number): void;
}

const powerButton = 1 << 8;
const systemControlInterrupt = 9;
/** The status of general events, a byte each. */
const eventStatusPorts = [0xafe0, 0xafe1];

/** A state begins with four numbers, the last of which is the length of the JSON behind them. */
const stateHeaderBytes = 16;
const jsonBytesAt = 12;
/** Where a state has the chipset; null: the machine has none. */
const chipsetIndex = 50;

export class PowerManagement {
  private constructor(
    private readonly processor: Processor,
    private readonly chipset: Chipset,
  ) {
    for (const [i, port] of eventStatusPorts.entries()) {
      processor.io.register_write(port, chipset, (value) => {
        chipset.gpe[i]! &= ~value; // there are four
      });
    }
    const timer = chipset.timer.bind(chipset);
    chipset.timer = (now) => {
      const next = timer(now);
      this.interrupt();
      return next;
    };
  }

  /** Undefined for an emulator that has none, or where it cannot be reached. */
  static of(emulator: V86Emulator): PowerManagement | undefined {
    const { cpu } = (emulator as { v86?: { cpu?: Processor } }).v86 ?? {};
    const chipset = cpu?.devices?.acpi;
    return cpu && chipset && new PowerManagement(cpu, chipset);
  }

  /** Does nothing when the guest does not care for the button. */
  press(): void {
    if (!this.processor.devices.acpi || !(this.chipset.pm1_enable & powerButton)) return;
    this.chipset.pm1_status |= powerButton;
    this.interrupt();
  }

  /** As the reset of the machine does, which v86 passes over. */
  reset(): void {
    this.show(true);
    this.chipset.pm1_status = 0;
    this.chipset.pm1_enable = 0;
  }

  /** To be called before `state` is restored: the guest finds what was there when it was saved, until it is reset. */
  suit(state: ArrayBuffer): void {
    this.show(hasChipset(state));
  }

  private show(isThere: boolean): void {
    this.processor.devices.acpi = isThere ? this.chipset : undefined;
    this.processor.acpi_enabled[0] = Number(isThere);
  }

  private interrupt(): void {
    const { pm1_status: happened, pm1_enable: wanted } = this.chipset;
    if (happened & wanted & powerButton) this.processor.device_raise_irq(systemControlInterrupt);
  }
}

/** What is no state is for v86 to refuse. */
function hasChipset(state: ArrayBuffer): boolean {
  try {
    const length = new DataView(state).getUint32(jsonBytesAt, true);
    const json = new TextDecoder().decode(new Uint8Array(state, stateHeaderBytes, length));
    const { state: parts } = JSON.parse(json) as { state: readonly unknown[] };
    return parts[chipsetIndex] != null;
  } catch {
    return true;
  }
}
