/** Real QEMU's tools as tests use them: run to their end, with their output, and qemu-io with operations of a disk model. */
import { spawnSync } from 'node:child_process';
import { expect } from 'vitest';
import type { DiskModel, Operation } from './disk-model.ts';

/** What the tool printed. Throws with it when the tool failed. */
export function run(tool: string, ...args: string[]): string {
  const result = spawnSync(tool, args, { encoding: 'utf8' });
  const output = `${result.stdout}${result.stderr}`;
  if (result.status !== 0) throw new Error(`${tool} ${args.join(' ')} gave ${result.status}: ${output}`);
  return output;
}

/** How an image is made, beside its name and size. */
export interface ImageOptions {
  /** As `-o` has them. */
  options?: string;
  backing?: { file: string; format: string };
}

/** A qcow2 image by the real qemu-img. `size` as it is written there; an image without one is as long as its backing file. */
export function createByQemu(file: string, size: string | number | undefined, how: ImageOptions = {}): void {
  const { options, backing } = how;
  const above = backing === undefined ? [] : ['-b', backing.file, '-F', backing.format];
  const more = [...(options === undefined ? [] : ['-o', options]), ...above];
  run(
    'qemu-img',
    'create',
    '-q',
    '-f',
    'qcow2',
    ...more,
    file,
    ...(size === undefined ? [] : [String(size)]),
  );
}

/** Arguments of qemu-io by which it executes these, one after the other. */
export function ioCommands(...commands: readonly string[]): string[] {
  return commands.flatMap((command) => ['-c', command]);
}

function qemuCommand(operation: Operation): string {
  switch (operation.kind) {
    case 'write':
      return `write -q -P ${operation.pattern} ${operation.offset} ${operation.bytes}`;
    case 'compress':
      return `write -q -c -P ${operation.pattern} ${operation.offset} ${operation.bytes}`;
    case 'zero':
      return `write -q -z ${operation.unmap ? '-u ' : ''}${operation.offset} ${operation.bytes}`;
    case 'discard':
      return `discard -q ${operation.offset} ${operation.bytes}`;
    case 'read':
      return `read -q ${operation.offset} ${operation.bytes}`;
    case 'flush':
      return 'flush';
    case 'resize':
      return `truncate ${operation.bytes}`;
  }
}

/**
 * One qemu-io for all of the operations, which must have nothing to say; the model follows. With `abort` it flushes and
 * then dies without closing the image. `options` may have another `driver` than qcow2.
 */
export function applyByQemu(
  file: string,
  options: Record<string, number | string>,
  model: DiskModel,
  operations: readonly Operation[],
  abort = false,
): void {
  for (const operation of operations) model.apply(operation);
  const opts = {
    driver: 'qcow2',
    discard: 'unmap',
    'file.driver': 'file',
    'file.filename': file,
    ...options,
  };
  const text = Object.entries(opts)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
  const commands = ioCommands(...operations.map(qemuCommand));
  if (abort) {
    const result = spawnSync('qemu-io', ['--image-opts', text, ...commands, '-c', 'flush', '-c', 'abort']);
    expect([result.signal, `${result.stdout}${result.stderr}`]).toEqual(['SIGABRT', '']);
    return;
  }
  const output = run('qemu-io', '--image-opts', text, ...commands);
  expect(output, 'qemu-io has nothing to say').toBe('');
}
