/**
 * Sees a guest of v86 switch itself off, which v86 itself passes over: the sleep state 5 by the power management of the
 * chipset (PIIX4), as ACPI has it. The registers are where v86 has them, and where SeaBIOS says that they are.
 */
interface Port {
  readonly device: unknown;
  write16(this: unknown, value: number): void;
}

interface Ports {
  readonly ports: readonly Port[];
  register_write(
    port: number,
    device: unknown,
    write8: undefined,
    write16: (this: unknown, value: number) => void,
  ): void;
}

/** The control registers, PM1a_CNT. */
const controlPorts = [0xb004, 0x604];
const sleepEnable = 1 << 13;
const sleepType = 7 << 10;
/** By the chipset. */
const softOff = 0;

/** Calls `act` whenever it does, out of the guest's turn. Does nothing for a v86 whose ports cannot be reached. */
export function onPowerOff(emulator: object, act: () => void): void {
  const { io } = (emulator as { v86?: { cpu?: { io?: Ports } } }).v86?.cpu ?? {};
  if (!io?.ports || !io.register_write) return;
  for (const number of controlPorts) {
    const { device, write16 } = io.ports[number] ?? {};
    io.register_write(number, device, undefined, (value) => {
      write16?.call(device, value);
      if (value & sleepEnable && (value & sleepType) === softOff) queueMicrotask(act);
    });
  }
}
