/** What an image shows, backing files included. */

import { Perm } from '../../host/block/permissions.ts';
import { drivers } from '../../host/drivers.ts';
import { createGraph } from '../../host/graph.ts';
import type { Platform } from '../../host/platform/platform.ts';
import { attachAlone } from './attach.ts';

export async function readImage(platform: Platform, path: string, bytes: number): Promise<Uint8Array> {
  const graph = createGraph({ platform, drivers });
  const node = await graph.openFile(path, { format: 'qcow2', flags: { readOnly: true } });
  const backend = await attachAlone(node, Perm.consistentRead);
  const content = new Uint8Array(bytes);
  await backend.read(0, content);
  await backend.close();
  return content;
}
