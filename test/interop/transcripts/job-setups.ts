/**
 * What scenarios of jobs have in common: the images that jobs work on, the nodes that show them, and the steps by which
 * a job, always called `j`, is brought to an end. How it is started is for each scenario to say.
 */
import type { Message, Step } from '../../support/qmp-sessions.ts';
import { add, event, file, gone, node, nodes, run, status } from './scenario.ts';

/** base.qcow2 with 1 MiB of 1, and over it a.qcow2 with 1 MiB of 2 behind that. */
export const overlayOnBase: readonly string[] = [
  'qemu-img create -q -f qcow2 base.qcow2 4M',
  'qemu-io -f qcow2 -c "write -P 1 0 1M" base.qcow2',
  'qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 a.qcow2',
  'qemu-io -f qcow2 -c "write -P 2 1M 1M" a.qcow2',
];
/** Where a copy comes from, and where it goes. */
export const source = node('a', 'a.qcow2');
export const target = node('t', 't.qcow2');

/**
 * Images of 4 MiB, n0.qcow2 and so on, each over the one before it: one for each of `ranges`, which is where it holds its
 * number plus one, as qemu-io writes offset and length. Nothing is written for an empty range.
 */
export function layers(...ranges: readonly string[]): string[] {
  return ranges.flatMap((range, n) => {
    const create = n === 0 ? 'n0.qcow2 4M' : `-b n${n - 1}.qcow2 -F qcow2 n${n}.qcow2`;
    const write = `qemu-io -f qcow2 -c "write -P ${n + 1} ${range}" n${n}.qcow2`;
    return [`qemu-img create -q -f qcow2 ${create}`, ...(range === '' ? [] : [write])];
  });
}

/** Adds the layer of that number, n3 for example, with all below it as named nodes. */
export function addLayers(top: number, more: object = {}): Message {
  const layer = (n: number): object => ({
    driver: 'qcow2',
    'node-name': `n${n}`,
    file: file(`n${n}.qcow2`),
    ...(n > 0 ? { backing: layer(n - 1) } : {}),
  });
  return add({ ...layer(top), ...more });
}

/** n1 to n3 over a node `p` that is a file and nothing else, as which n1 does not know its backing file. */
export const addOnProtocol: readonly Message[] = [
  add(file('r.raw', { 'node-name': 'p' })),
  node('n1', 'n1.qcow2', { backing: 'p' }),
  node('n2', 'n2.qcow2', { backing: 'n1' }),
  node('n3', 'n3.qcow2', { backing: 'n2' }),
];

export const jobs: readonly Message[] = [run('query-jobs'), run('query-block-jobs')];
export const ready = event('BLOCK_JOB_READY');
export const pending = event('BLOCK_JOB_PENDING');
export const complete = run('job-complete', { id: 'j' });

/** The ways of `block-job-cancel`. */
export const cancels = [
  { name: 'softly', cancel: run('block-job-cancel', { device: 'j' }) },
  { name: 'by force', cancel: run('block-job-cancel', { device: 'j', force: true }) },
] as const;

/** A job that sleeps is paused, told what it cannot do, and goes on at full speed. */
export const pauseThenHurry: readonly Step[] = [
  run('job-pause', { id: 'j' }),
  run('query-jobs'),
  complete,
  run('block-job-set-speed', { device: 'j', speed: 0 }),
  run('job-resume', { id: 'j' }),
  gone('j'),
];

/** A job that was told to wait for it is finalized and dismissed. */
export const finalizeThenDismiss: readonly Step[] = [
  pending,
  run('query-jobs'),
  nodes,
  run('job-finalize', { id: 'j' }),
  status('j', 'concluded'),
  run('job-dismiss', { id: 'j' }),
  nodes,
];
