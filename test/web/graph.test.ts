import { expect, test } from 'vitest';
import type { GraphInfo } from '../../host/web/answers.ts';
import { layOut } from '../../host/web/graph-layout.ts';

const graph: GraphInfo = {
  nodes: [
    { id: 1, type: 'block-backend', name: 'a' },
    { id: 2, type: 'block-backend', name: 'b' },
    { id: 3, type: 'block-driver', name: 'top-a' },
    { id: 4, type: 'block-driver', name: 'top-b' },
    { id: 5, type: 'block-driver', name: 'base' },
    { id: 6, type: 'block-job', name: 'job' },
  ],
  edges: [
    { parent: 1, child: 3, name: 'root' },
    { parent: 2, child: 4, name: 'root' },
    { parent: 3, child: 5, name: 'backing' },
    { parent: 4, child: 5, name: 'backing' },
    { parent: 6, child: 3, name: 'main node' },
  ],
};

test('a node stands right of all that use it, and no two in one place', () => {
  const boxes = layOut(graph, []);
  const column = (id: number): number => boxes.find((box) => box.id === id)!.column;
  for (const { parent, child } of graph.edges) expect(column(child)).toBeGreaterThan(column(parent));
  expect(column(5)).toBe(2);
  expect(new Set(boxes.map(({ column, row }) => `${column}/${row}`)).size).toBe(boxes.length);
});

test('what a node is follows from its type and its driver', () => {
  const info = (name: string, drv: string) => ({
    'node-name': name,
    drv,
    ro: name === 'base',
    file: '',
    image: { 'virtual-size': 0 },
  });
  const boxes = layOut(graph, [info('top-a', 'qcow2'), info('top-b', 'throttle'), info('base', 'http')]);
  expect(boxes.map(({ kind }) => kind)).toEqual(['device', 'device', 'format', 'filter', 'protocol', 'job']);
  expect(boxes[4]!.what).toBe('http, read-only');
});

test('an empty graph has no places', () => expect(layOut({ nodes: [], edges: [] }, [])).toEqual([]));
