import { expect, test } from 'vitest';
import { Troubles } from '../../host/web/troubles.ts';

/** A base that two disks stand on, one of them through a further node, and a node of no disk. */
const graph = {
  nodes: [
    { id: 1, type: 'block-backend', name: 'disk-b' },
    { id: 2, type: 'block-backend', name: 'disk-a' },
    { id: 3, type: 'block-driver', name: 'overlay' },
    { id: 4, type: 'block-driver', name: 'base' },
    { id: 5, type: 'block-driver', name: 'elsewhere' },
    { id: 6, type: 'block-job', name: 'backup' },
  ],
  edges: [
    { parent: 1, child: 4, name: 'root' },
    { parent: 2, child: 3, name: 'root' },
    { parent: 3, child: 4, name: 'backing' },
    { parent: 6, child: 4, name: 'main node' },
  ],
} as const;

const at = (seconds: number): Date => new Date(seconds * 1000);
const lasting = (node: string, reason: string) => ({
  event: 'X_BLOCK_TROUBLE',
  data: { 'node-name': node, lasting: true, reason, message: `${reason}!` },
});
const over = (node: string) => ({
  event: 'X_BLOCK_TROUBLE',
  data: { 'node-name': node, lasting: false },
});

test('a node in trouble troubles every disk above it, from when it began until it is over', () => {
  const troubles = new Troubles();
  troubles.hear(lasting('base', 'unreachable'), at(1));
  troubles.hear(lasting('base', 'server-error'), at(5));
  const trouble = { reason: 'server-error', message: 'server-error!', since: at(1) };
  expect(troubles.ofDisks(graph)).toEqual([
    { ...trouble, disk: 'disk-a' },
    { ...trouble, disk: 'disk-b' },
  ]);
  troubles.hear(over('base'), at(6));
  expect(troubles.ofDisks(graph)).toEqual([]);
});

test('nodes that are gone, or of no disk, trouble nobody, and other events say nothing', () => {
  const troubles = new Troubles();
  for (const node of ['elsewhere', 'gone']) troubles.hear(lasting(node, 'unreachable'), at(1));
  troubles.hear({ ...lasting('base', 'unreachable'), event: 'BLOCK_IO_ERROR' }, at(1));
  expect(troubles.ofDisks(graph)).toEqual([]);
});
