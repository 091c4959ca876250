/**
 * Servers that do not answer as they should, for as long as requests are tried again and no guest has been told: what
 * `X_BLOCK_TROUBLE` says of a node, as trouble of the disk above it.
 */
import { type FaultReason, faultReasons } from '../base/errors.ts';
import type { GraphInfo, MonitorEvent } from './answers.ts';

interface Trouble {
  readonly reason: FaultReason | undefined;
  /** As the block layer has it. */
  readonly message: string;
  readonly since: Date;
}

export interface DiskTrouble extends Trouble {
  /** The name of the machine's device. */
  readonly disk: string;
}

/** Of each node in trouble the last that was heard, and when it began. */
export class Troubles {
  private readonly ofNodes = new Map<string, Trouble>();

  hear({ event, data = {} }: MonitorEvent, now: Date): void {
    if (event !== 'X_BLOCK_TROUBLE') return;
    const node = String(data['node-name']);
    if (data['lasting'] !== true) {
      this.ofNodes.delete(node);
      return;
    }
    const since = this.ofNodes.get(node)?.since ?? now;
    const reason = faultReasons.find((one) => one === data['reason']);
    this.ofNodes.set(node, { reason, message: String(data['message'] ?? ''), since });
  }

  /** One for each disk at most, that which began first. Nodes that are gone have none. */
  ofDisks(graph: GraphInfo): readonly DiskTrouble[] {
    const found = new Map<string, DiskTrouble>();
    for (const [node, trouble] of this.ofNodes) {
      for (const disk of disksAbove(graph, node)) {
        if (!found.has(disk)) found.set(disk, { ...trouble, disk });
      }
    }
    return [...found.values()].sort((a, b) => (a.disk < b.disk ? -1 : 1));
  }
}

/** The names of the devices that stand on a node. */
function disksAbove({ nodes, edges }: GraphInfo, name: string): string[] {
  const reached = new Set(nodes.filter((node) => isNode(node) && node.name === name).map(({ id }) => id));
  for (let before = -1; before < reached.size; ) {
    before = reached.size;
    for (const { parent, child } of edges) if (reached.has(child)) reached.add(parent);
  }
  return nodes
    .filter((node) => node.type === 'block-backend' && reached.has(node.id))
    .map((node) => node.name);
}

const isNode = ({ type }: GraphInfo['nodes'][number]): boolean => type === 'block-driver';
