import { describe, expect, test } from 'vitest';
import { V86Disk } from '../../host/emulator/v86/disk.ts';
import type { V86Emulator } from '../../host/emulator/v86/emulator.ts';
import { V86Processor } from '../../host/emulator/v86/processor.ts';
import { MemoryDisk } from './memory-disk.ts';

/** Stops only some time after it was told to, as v86, and must not be told to run before that. */
class SlowEmulator implements V86Emulator {
  readonly log: string[] = [];
  private running = false;
  private stopping = false;

  run(): void {
    expect(this.stopping).toBe(false);
    this.running = true;
    this.log.push('run');
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await new Promise((resolve) => setImmediate(resolve));
    this.stopping = false;
    this.running = false;
    this.log.push('stopped');
  }

  restart(): void {
    expect(this.running).toBe(false);
    this.log.push('restart');
  }

  is_running(): boolean {
    return this.running;
  }

  async destroy(): Promise<void> {}
  async save_state(): Promise<ArrayBuffer> {
    return new ArrayBuffer(0);
  }
  async restore_state(): Promise<void> {}
  add_listener(): void {}
  remove_listener(): void {}
}

function processor(): { emulator: SlowEmulator; memory: MemoryDisk; disk: V86Disk; cpu: V86Processor } {
  const emulator = new SlowEmulator();
  const memory = new MemoryDisk(4096);
  const disk = new V86Disk(memory);
  return { emulator, memory, disk, cpu: new V86Processor(emulator, [disk]) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One that runs, with so many writes under way that its disk answers when it is told to. */
async function writing(writes = 1): Promise<ReturnType<typeof processor>> {
  const all = processor();
  const { memory, disk, cpu } = all;
  cpu.run();
  await turn();
  memory.hold();
  for (let i = 0; i < writes; i++) disk.set(0, new Uint8Array(512));
  return all;
}

describe('v86 as a processor', () => {
  test('does what it was told last, one thing after the other', async () => {
    const { emulator, cpu } = processor();
    cpu.run();
    await turn();
    const halted = cpu.halt({ forDisks: true });
    await Promise.resolve();
    cpu.run();
    await halted;
    await turn();
    expect(emulator.is_running()).toBe(true);
    expect(emulator.log).toEqual(['run', 'stopped', 'run']);
  });

  test('has halted when its disks have answered', async () => {
    const { memory, cpu } = await writing();
    let halted = false;
    const halting = cpu.halt({ forDisks: true }).then(() => {
      halted = true;
    });
    for (let i = 0; i < 5; i++) await turn();
    expect(halted).toBe(false);
    expect(cpu.isIdle).toBe(false);
    memory.answer(0);
    await halting;
    expect(cpu.isIdle).toBe(true);
  });

  test('waits no longer for disks that cannot answer', async () => {
    const { memory, disk, cpu } = await writing();
    const halting = cpu.halt({ forDisks: true });
    for (let i = 0; i < 5; i++) await turn();
    await cpu.halt({ forDisks: false });
    await halting;
    expect(cpu.isIdle).toBe(false);
    memory.answer(0);
    await disk.whenIdle();
  });

  test('stands while the guest has written too much ahead of its disk', async () => {
    const writes = 40;
    const { emulator, memory } = await writing(writes);
    for (let i = 0; i < 5; i++) await turn();
    expect(emulator.log).toEqual(['run', 'stopped']);
    for (let i = 0; i < writes - 1; i++) memory.answer(0);
    for (let i = 0; i < 5; i++) await turn();
    expect(emulator.is_running()).toBe(false);
    memory.answer(0);
    for (let i = 0; i < 5; i++) await turn();
    expect(emulator.log).toEqual(['run', 'stopped', 'run']);
  });

  test('stands while it is reset, and runs afterwards if it did before', async () => {
    const { emulator, cpu } = processor();
    await cpu.reset();
    expect(emulator.log).toEqual(['restart']);
    cpu.run();
    await turn();
    await cpu.reset();
    await turn();
    expect(emulator.log).toEqual(['restart', 'run', 'stopped', 'restart', 'run']);
  });
});
