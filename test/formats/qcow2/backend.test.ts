import { expect, test } from 'vitest';
import { BlockGraph } from '../../../host/block/graph.ts';
import { Perm } from '../../../host/block/permissions.ts';
import { checkImage } from '../../../host/formats/qcow2/check/check.ts';
import { createImage } from '../../../host/formats/qcow2/create/create.ts';
import { incompatible } from '../../../host/formats/qcow2/disk/feature-bits.ts';
import { readHeader } from '../../../host/formats/qcow2/disk/header.ts';
import { updateHeader } from '../../../host/formats/qcow2/disk/header-update.ts';
import { createSimulation } from '../../../host/platform/sim/index.ts';
import { memory } from '../../../host/protocols/memory.ts';
import { attach } from '../../support/attach.ts';

test('an image can be created, changed, damaged, checked and rebuilt through a block backend', async () => {
  const graph = new BlockGraph({ platform: createSimulation(1).platform, drivers: [memory], emit: () => {} });
  const node = await graph.open({ driver: 'memory', size: 0 });
  const file = await attach(node, Perm.all);
  file.allowWriteBeyondEnd = true;
  await createImage(file, { size: 1024 * 1024, preallocation: 'metadata', cluster_size: 4096 });
  await updateHeader(file, {
    setIncompatible: incompatible.dirty,
    backing: { filename: 'b', format: 'raw' },
  });
  const lines: string[] = [];
  const report = (line: string) => lines.push(line);
  const clean = await checkImage(file, { fix: { leaks: false, errors: false }, report });
  expect(lines).toEqual([]);
  expect(clean).toMatchObject({ corruptions: 0, leaks: 0, allocatedClusters: 256 });

  await file.write(4096, new Uint8Array(8));
  await expect(checkImage(file, { fix: { leaks: true, errors: false }, report })).rejects.toMatchObject({
    errno: 'EIO',
  });
  await checkImage(file, { fix: { leaks: true, errors: true }, report });
  lines.length = 0;
  await checkImage(file, { fix: { leaks: false, errors: false }, report });
  expect(lines).toEqual([]);
  const header = await readHeader(file, { readOnly: false, check: false, noIo: false });
  expect(header).toMatchObject({ incompatibleFeatures: 0n, backingFile: 'b' });
  await file.close();
  await graph.unref(node);
});
