/** An emulator that stands and runs with the machine of the monitor. */
import type { QmpClient } from './qmp-client.ts';

/** What is needed of a V86 instance. */
export interface GuestMachine {
  run(): unknown;
  stop(): unknown;
}

/** `stop`, `cont` and failing disks act on `machine`. Gives what ends that. */
export function followRunState(monitor: QmpClient, machine: GuestMachine): () => void {
  const ends = [
    monitor.on('STOP', () => void machine.stop()),
    monitor.on('RESUME', () => void machine.run()),
  ];
  return () => {
    for (const end of ends) end();
  };
}
