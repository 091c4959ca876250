/** What holds of every graph, and of the machine on it, at every moment between two commands. */
import type { BlockGraph } from '../../../host/block/graph.ts';
import type { BlockNode } from '../../../host/block/node.ts';
import type { JobRegistry } from '../../../host/jobs/job-registry.ts';
import { BlockDevice } from '../../../host/machine/block-device.ts';
import type { Machine } from '../../../host/machine/machine.ts';

export interface Subject {
  readonly graph: BlockGraph;
  readonly jobs: JobRegistry;
  readonly machine: Machine | undefined;
}

/** One line for each thing that is wrong. */
export function violations({ graph, jobs, machine }: Subject): string[] {
  // What has succeeded and waits to be finalized keeps both sides as they are.
  const mayBeDrained = jobs.list().some(({ status }) => status === 'waiting' || status === 'pending');
  return [
    ...graphViolations(graph),
    ...(mayBeDrained ? [] : drainViolations(graph)),
    ...(machine ? machineViolations(machine) : []),
  ];
}

function drainViolations(graph: BlockGraph): string[] {
  return graph
    .nodes()
    .filter(({ drainDepth }) => drainDepth !== 0)
    .map(({ name }) => `${name} is drained between two commands`);
}

const settlingNs = 20_000_000;
const settlingTurns = 10;

/** What is wrong and stays so: jobs may be in the middle of something, but not for ever. */
export async function lastingViolations(
  server: Subject,
  wait: (ns: number) => Promise<void>,
): Promise<string[]> {
  let found = violations(server);
  for (let turn = 0; found.length > 0 && turn < settlingTurns; turn++) {
    await wait(settlingNs);
    found = violations(server);
  }
  return found;
}

function machineViolations({ graph, devices, drives }: Machine): string[] {
  const found: string[] = [];
  const backends = graph.backends.list();
  const fronts = new Set<object>();
  for (const device of devices) {
    if (device.bus && !device.bus.devices.includes(device)) found.push(`${device.id} is not on its bus`);
    if (!(device instanceof BlockDevice)) continue;
    const { front } = device;
    fronts.add(front);
    if (front.backend.device !== front) found.push(`the drive of ${device.id} does not know it`);
    if (!backends.includes(front.backend)) found.push(`the drive of ${device.id} is gone`);
  }
  for (const { name, device } of backends) {
    if (device && !fronts.has(device)) found.push(`drive ${name} has a device that is gone`);
  }
  for (const { backend } of drives.list()) {
    if (!backends.includes(backend)) found.push(`drive ${backend.name} is listed and gone`);
  }
  return found;
}

function graphViolations(graph: BlockGraph): string[] {
  const found: string[] = [];
  const nodes = graph.nodes();
  const known = new Set(nodes);
  for (const node of nodes) {
    if (graph.findNode(node.name) !== node) found.push(`${node.name} is not found by its name`);
    if (node.closed) found.push(`${node.name} is closed and still there`);
    if (node.references < node.parents.size) {
      found.push(`${node.name} has ${node.parents.size} parents and ${node.references} references`);
    }
    if (node.references <= 0) found.push(`${node.name} has no reference`);
    for (const edge of node.children.values()) {
      if (!known.has(edge.node)) found.push(`${node.name}: its ${edge.name} child is not in the graph`);
      if (!edge.node.parents.has(edge)) found.push(`${node.name}: its ${edge.name} child does not know it`);
    }
    for (const a of node.parents) {
      for (const b of node.parents) {
        if (a !== b && a.perm & ~b.shared) found.push(`${node.name}: permissions of two parents conflict`);
      }
    }
    if (reaches(node, node)) found.push(`${node.name} is below itself`);
  }
  return found;
}

function reaches(from: BlockNode, to: BlockNode): boolean {
  for (const edge of from.children.values()) if (edge.node === to || reaches(edge.node, to)) return true;
  return false;
}
