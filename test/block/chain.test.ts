import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bottomImage,
  chainFrom,
  chainLinks,
  findBackingImage,
  findOverlay,
  imagesFrom,
  isBelow,
  isInChain,
  nodesFrom,
} from '../../host/block/chain.ts';
import { filenameOf } from '../../host/block/filename.ts';
import type { BlockNode } from '../../host/block/node.ts';
import { World } from '../jobs/world.ts';

const size = 1 << 20;

const names = (nodes: Iterable<BlockNode>): string[] => [...nodes].map(({ name }) => name);

/** A chain of images with so many filters right above each, from top to bottom. */
async function chain(filtersAbove: readonly number[]): Promise<{ world: World; nodes: BlockNode[] }> {
  const world = new World();
  const nodes: BlockNode[] = [];
  for (const [index, filters] of [...filtersAbove].reverse().entries()) {
    nodes.unshift(await world.image(`image${index}`, size, nodes[0]));
    for (let above = 0; above < filters; above++) {
      const options = { driver: 'pass', 'node-name': `filter${index}-${above}`, file: nodes[0]!.name };
      nodes.unshift(await world.graph.open(options));
    }
  }
  return { world, nodes };
}

describe('a chain', () => {
  it('leads through filters and backing files, and leaves out files', async () => {
    const { nodes } = await chain([1, 0, 2]);
    const [top] = nodes as [BlockNode];
    const all = ['filter2-0', 'image2', 'image1', 'filter0-1', 'filter0-0', 'image0'];
    expect(names(chainFrom(top))).toEqual(all);
    expect(names(imagesFrom(top))).toEqual(['image2', 'image1', 'image0']);
    expect(chainLinks(top, undefined).map(({ node }) => node.name)).toEqual(all.slice(1));
    expect(chainLinks(top, nodes[2]).map(({ node }) => node.name)).toEqual(all.slice(1, 3));
    expect(names(nodesFrom(top)).sort()).toEqual(
      [...all, 'image0-file', 'image1-file', 'image2-file'].sort(),
    );
    expect([...chainFrom(undefined)]).toEqual([]);
  });

  it('finds images by the names of their files', async () => {
    const world = new World();
    const base = await world.image('base', size);
    const top = await world.image('top', size, base);
    expect(findBackingImage(top, filenameOf(base))).toBe(base);
    expect(findBackingImage(base, filenameOf(base))).toBeUndefined();
    expect(findBackingImage(top, 'base')).toBeUndefined();
  });

  it('has its nodes where a list has them', async () => {
    const filtersAbove = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(filtersAbove, fc.nat(), fc.nat(), async (filters, first, second) => {
        const { nodes } = await chain(filters);
        const upper = first % nodes.length;
        const lower = second % nodes.length;
        const [a, b] = [nodes[upper]!, nodes[lower]!];
        expect(isInChain(a, b)).toBe(lower >= upper);
        expect(isBelow(a, b)).toBe(lower > upper);
        expect([...chainFrom(a, b)]).toEqual(nodes.slice(upper, lower >= upper ? lower : undefined));

        const images = nodes.slice(upper).filter(({ definition }) => definition.kind !== 'filter');
        expect([...imagesFrom(a)]).toEqual(images);
        expect(bottomImage(a)).toBe(images.at(-1));
        const wanted = nodes.slice(lower).find(({ definition }) => definition.kind !== 'filter');
        expect(findOverlay(a, b)).toBe(images[images.indexOf(wanted!) - 1]);
      }),
      { numRuns: 40 },
    );
  });
});
