/** Jobs that cannot start leave everything as it was: links, references, access, what is blocked. */
import { describe, expect, test } from 'vitest';
import { Perm } from '../../host/block/permissions.ts';
import { startActiveCommit } from '../../host/jobs/commit/active-commit.ts';
import type { Job } from '../../host/jobs/job.ts';
import { attach } from '../support/attach.ts';
import { mib } from '../support/units.ts';
import { type Chain, chain, commit, stream } from './image-chain.ts';
import { statuses } from './world.ts';

const target = 't';

const jobs: readonly { kind: string; start(disks: Chain, id: string): Promise<Job> }[] = [
  {
    kind: 'a backup',
    start: ({ world, nodes }, id) =>
      world.backup(nodes[3]!, world.graph.getNode(target), { 'job-id': id, 'filter-node-name': 'f' }),
  },
  {
    kind: 'a mirror',
    start: ({ world, nodes }, id) =>
      world.mirror(nodes[3]!, world.graph.getNode(target), { 'job-id': id }, { filterNodeName: 'f' }),
  },
  { kind: 'an intermediate commit', start: (disks, id) => commit(disks, { id, filterNodeName: 'f' }) },
  {
    kind: 'an active commit',
    start: ({ world, nodes }, id) =>
      startActiveCommit(world.graph, world.jobs, {
        id,
        top: nodes[3]!,
        base: nodes[0]!,
        speed: undefined,
        onError: 'report',
        filterNodeName: 'f',
        autoFinalize: undefined,
        autoDismiss: undefined,
      }),
  },
  { kind: 'a stream', start: (disks, id) => stream(disks, { id, filterNodeName: 'f' }) },
];

function stateOf({ world }: Chain): object[] {
  return world.graph.nodes().map((node) => ({
    name: node.name,
    references: node.references,
    readOnly: node.readOnly,
    drained: node.drainDepth,
    children: [...node.children].map(([name, edge]) => ({
      name,
      node: edge.node.name,
      frozen: edge.frozen,
      perm: edge.perm,
      shared: edge.shared,
    })),
    parents: [...node.parents].map((edge) => edge.name).sort(),
  }));
}

async function disksOf(): Promise<Chain> {
  const disks = await chain();
  await disks.world.disk(target, 4 * mib);
  return disks;
}

async function expectEnd({ world }: Chain, job: Job): Promise<void> {
  await world.platform.settle();
  if (job.isReady) await job.cancel(false);
  await world.platform.settle();
  expect(job.error).toBeUndefined();
  expect(world.jobs.list()).toEqual([]);
}

describe.each(jobs)('$kind', ({ start }) => {
  test('with a bad id leaves everything as it was', async () => {
    const disks = await disksOf();
    const before = stateOf(disks);
    await expect(start(disks, 'bad!')).rejects.toThrow("Invalid job ID 'bad!'");
    expect(stateOf(disks)).toEqual(before);
    expect(disks.world.take()).toEqual([]);
    await expectEnd(disks, await start(disks, 'j'));
  });

  test('with a name that its filter cannot have leaves everything as it was', async () => {
    const disks = await disksOf();
    const { node: other } = await disks.world.disk('f', mib);
    const before = stateOf(disks);
    await expect(start(disks, 'j')).rejects.toThrow(
      /Duplicate nodes with node-name='f'|Could not create node/,
    );
    expect(stateOf(disks)).toEqual(before);
    await disks.world.graph.unref(other);
    await expectEnd(disks, await start(disks, 'j'));
  });
});

// A backup's own edges forbid nothing.
describe.each(jobs.filter(({ kind }) => kind !== 'a backup'))('$kind', ({ kind, start }) => {
  test('with a node that it cannot hold leaves everything as it was', async () => {
    const disks = await disksOf();
    const { world, nodes } = disks;
    // Of a disk that changes its size only a backup can be made; a commit moves data away from under readers.
    const inTheWay =
      kind === 'an intermediate commit'
        ? await attach(nodes[1]!, Perm.consistentRead)
        : await attach(nodes[3]!);
    const before = stateOf(disks);
    await expect(start(disks, 'j')).rejects.toThrow(/^Permission conflict on node /);
    expect(stateOf(disks)).toEqual(before);
    expect(world.take()).toEqual(statuses('j', 'created', 'null'));
    await inTheWay.close();
    await expectEnd(disks, await start(disks, 'j'));
  });
});

test('an intermediate commit whose filter its users could not write through leaves everything as it was', async () => {
  const disks = await disksOf();
  const inTheWay = await attach(disks.nodes[2]!);
  const before = stateOf(disks);
  await expect(commit(disks, { filterNodeName: 'f' })).rejects.toThrow('Block node is read-only');
  expect(stateOf(disks)).toEqual(before);
  await inTheWay.close();
  await expectEnd(disks, await commit(disks, { filterNodeName: 'f' }));
});
