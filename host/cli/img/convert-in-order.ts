/**
 * `img convert` into a file that is made as a whole, from its beginning to its end: an object of an object store.
 *
 * It is there when it is complete; an error, and a signal that ends the program, leave nothing of it. What an image in order cannot have is
 * refused by name.
 */
import { asBlockError, BlockError } from '../../base/errors.ts';
import type { DriverDefinition } from '../../block/driver.ts';
import type { BlockGraph } from '../../block/graph.ts';
import { objectTableOf } from '../../block/object-table.ts';
import type { OrderedFile, OrderedImage } from '../../block/ordered-file.ts';
import { orderedFormats } from '../../formats/ordered-formats.ts';
import { Interruption } from '../shared/interruption.ts';
import type { Tool } from '../shared/tool.ts';
import type { Creation } from './convert.ts';
import { ConvertCopy, type CopyTarget, type SourceSettings } from './convert-copy.ts';
import type { ConvertOptions } from './convert-options.ts';

interface InOrder {
  readonly options: ConvertOptions;
  readonly creation: Creation;
  /** Of the target. */
  readonly protocol: DriverDefinition;
  readonly copying: SourceSettings;
}

export async function convertInOrder(tool: Tool, graph: BlockGraph, given: InOrder): Promise<void> {
  const { filename, format } = given.creation;
  const { file, image } = await tool.attempt(() => begin(graph, given), {
    context: `${filename}: error while converting ${format}`,
  });
  const interruption = new Interruption();
  const writing = copyInto(image, filename, given.copying);
  try {
    await tool.attempt(() => interruption.unless(writing));
  } catch (error) {
    await file.abort();
    // Without its target it does not go on for long.
    await writing.catch(() => {});
    throw error;
  } finally {
    interruption.end();
    if (interruption.signal) process.kill(process.pid, interruption.signal);
  }
}

async function begin(
  graph: BlockGraph,
  { options, creation, protocol }: InOrder,
): Promise<{ file: OrderedFile; image: OrderedImage }> {
  const { filename, format, size, values, backingFile } = creation;
  refuse(protocol, options);
  const planned = orderedFormats[format];
  if (!planned)
    throw new BlockError(
      'ENOTSUP',
      `Images of format '${format}' are not written in order, as '${protocol.name}' objects are`,
    );
  const all = Object.entries({
    ...values,
    size,
    ...(backingFile !== undefined && { backing_file: backingFile }),
  });
  const own = new Set(graph.drivers.get(format).create?.options.map(({ name }) => name));
  const plan = planned(Object.fromEntries(all.filter(([name]) => name === 'size' || own.has(name))));
  const ofFile = Object.fromEntries(all.filter(([name]) => !own.has(name)));
  const { platform } = graph;
  const secrets = objectTableOf(graph);
  const context = { platform, secret: (id: string) => secrets.secret(id) };
  const file = await protocol.create!.beginFile!(context, filename, ofFile, plan.bounds); // it is one of these
  return { file, image: plan.begin(file, platform.codecs) };
}

function refuse({ name }: DriverDefinition, options: ConvertOptions): void {
  const refused = [
    options.bitmaps ? '--bitmaps' : undefined,
    options.outOfOrder ? '-W' : undefined,
    options.offload ? '-C' : undefined,
    options.cacheName === 'unsafe' ? undefined : '-t',
  ].find((option) => option !== undefined);
  if (refused !== undefined)
    throw new BlockError(
      'ENOTSUP',
      `'${name}' objects are written from their beginning to their end: not with ${refused}`,
    );
}

/** And completes it. */
async function copyInto(image: OrderedImage, targetName: string, copying: SourceSettings): Promise<void> {
  if (copying.compressed && !image.writeCompressed)
    throw new BlockError('ENOTSUP', 'Compression not supported for this file format');
  const target: CopyTarget = {
    write: (offset, bytes) => image.write(offset, bytes),
    // It has nothing else yet.
    writeZeroes: async () => {},
    writeCompressed: (offset, bytes) => image.writeCompressed!(offset, bytes), // looked for above
    copyRange: async () => Promise.reject(new BlockError('ENOTSUP')),
  };
  await new ConvertCopy({
    ...{ ...copying, target, targetName, clusterBytes: image.clusterBytes },
    ...{ isOrdered: true, targetIsNew: true, targetIsZero: true, backingLength: undefined },
  }).run();
  try {
    await image.finish();
  } catch (error) {
    throw asBlockError(error).within(`error while completing '${targetName}'`);
  }
}
