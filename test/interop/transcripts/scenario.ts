/**
 * A transcript scenario: images, and a QMP script that runs against real QEMU and against ours. The transcripts (replies,
 * errors, events, in their order) and the images afterwards must be equal, but for what differences.ts lists.
 */
import { type Message, type Step, statusOf } from '../../support/qmp-sessions.ts';

export interface Scenario {
  readonly name: string;
  /** The program that answers; the storage daemon unless said otherwise. */
  readonly program?: 'storage-daemon' | 'system';
  /** Command-line options of the program, beyond those that make it listen. */
  readonly options?: readonly string[];
  /** Commands of the real tools that make the images, each run in the directory of the images. */
  readonly prepare?: readonly string[];
  readonly steps: readonly Step[];
  /** Images whose visible content must be the same afterwards, and that must check clean. Format by extension. */
  readonly compare?: readonly string[];
  /** An event whose place among the other messages is chance: it is compared as if it came last. */
  readonly comesAnyTime?: string;
  /** Changes a message before it is compared: for members that time decides. */
  readonly normalise?: (message: Message) => Message;
}

/** A command. */
export function run(execute: string, args?: object): Message {
  return args === undefined ? { execute } : { execute, arguments: args };
}

/** A node on an image file, by extension: `.qcow2` or raw. */
export function node(name: string, filename: string, more: object = {}): Message {
  const driver = filename.endsWith('.qcow2') ? 'qcow2' : 'raw';
  return add({ driver, 'node-name': name, file: file(filename), ...more });
}

/** The options of a file. */
export function file(filename: string, more: object = {}): object {
  return { driver: 'file', filename, ...more };
}

export function add(options: object): Message {
  return run('blockdev-add', options);
}

export function addNull(name: string, more: object = {}): Message {
  return add({ driver: 'null-co', 'node-name': name, ...more });
}

export function del(name: string): Message {
  return run('blockdev-del', { 'node-name': name });
}

export function reopen(...options: readonly object[]): Message {
  return run('blockdev-reopen', { options });
}

/** Every node, without what lies below it. */
export const nodes = run('query-named-block-nodes', { flat: true });
/** Who holds what, and with which permissions. */
export const graph = run('x-debug-query-block-graph');

/** What a bitmap of the node `a` holds. */
export function bitmapHash(name: string): Message {
  return run('x-debug-block-dirty-bitmap-sha256', { node: 'a', name });
}

/** Waits for the job to be gone. */
export function gone(id: string): Step {
  return status(id, 'null');
}

/** Waits until the job has come to this status. */
export function status(id: string, status: string): Step {
  return { wait: statusOf(id, status) };
}

/** Waits for the event; `data` members must be among those of the event. */
export function event(name: string, data: Record<string, unknown> = {}): Step {
  return {
    wait: (message) =>
      message.event === name &&
      Object.entries(data).every(([key, value]) => (message.data as Record<string, unknown>)[key] === value),
  };
}

/** Of each node in a reply what names and options decide: its name, driver, file and backing file, and how it is open. */
export function briefNodes(message: Message): Message {
  const told = ['node-name', 'drv', 'ro', 'file', 'backing_file', 'detect_zeroes', 'cache'];
  const brief = (node: Record<string, unknown>): object => {
    const { 'backing-filename': named, 'full-backing-filename': full } = node['image'] as Record<
      string,
      unknown
    >;
    return { ...Object.fromEntries(told.map((name) => [name, node[name]])), named, full };
  };
  const list = message.return;
  const areNodes = Array.isArray(list) && list.every((one) => typeof one === 'object' && 'drv' in one);
  return areNodes ? { return: list.map(brief) } : message;
}

/** Nodes and edges of `graph` have no order, and ids mean nothing: a line for each edge. */
export function sortedGraph(message: Message): Message {
  const { nodes: list, edges } = (message.return ?? {}) as {
    nodes?: { id: number; name: string }[];
    edges?: { parent: number; child: number; perm: string[]; 'shared-perm': string[]; name: string }[];
  };
  if (!list || !edges) return message;
  const names = new Map(list.map(({ id, name }) => [id, name]));
  const lines = edges.map(
    ({ parent, child, name, perm, 'shared-perm': shared }) =>
      `${names.get(parent)} ${name} ${names.get(child)}: ${perm.sort().join()} / ${shared.sort().join()}`,
  );
  return { return: lines.sort() };
}

/** Goes on when the job has copied so many bytes. */
export function copied(id: string, bytes: number): Step {
  return {
    untilJobs: (jobs) => jobs.some((job) => job['id'] === id && (job['current-progress'] as number) >= bytes),
  };
}
