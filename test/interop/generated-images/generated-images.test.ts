/**
 * What info, check, map, measure, compare and snapshot -l say of generated images, as the real qemu-img does: damaged
 * headers and tables, chains of all lengths, backing files of all names. IMAGE_CASES sets how many images, IMAGE_SEED the
 * first of their seeds.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { createByQemu, run } from '../../support/qemu.ts';
import { Seeded } from '../../support/seeded.ts';
import { testSeeds } from '../../support/seeds.ts';
import { haveQemu } from '../../support/tools.ts';
import { askOurs, askReal, inventLines } from './ask.ts';
import { inventBackingName, makeChain } from './chains.ts';
import { damaged } from './damage.ts';
import { isExplained } from './differences.ts';
import { makeTemplates, type Template } from './templates.ts';

const count = Number(process.env['IMAGE_CASES'] ?? 12);
const first = Number(process.env['IMAGE_SEED'] ?? 1);

interface Images {
  /** The one that is asked about, and another one. */
  readonly name: string;
  readonly other: string;
  readonly what: readonly string[];
}

describe.skipIf(!haveQemu)('generated images are told about', () => {
  let root: string;
  let templates: Template[];
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'blockyard-images-'));
    mkdirSync(join(root, 'templates'));
    templates = makeTemplates(join(root, 'templates'));
  });
  afterAll(() => root && rmSync(root, { recursive: true }));

  function damagedImage(random: Seeded, directory: string): Images {
    const template = random.pick(templates);
    const { image, done } = damaged(random, template.content);
    writeFileSync(join(directory, 'base.raw'), Buffer.alloc(700 * 1024, 5));
    writeFileSync(join(directory, 'image'), image);
    return { name: 'image', other: 'base.raw', what: [template.name, ...done] };
  }

  function chainOfImages(random: Seeded, directory: string): Images {
    const { names, what } = makeChain(random, directory);
    return { name: names.at(-1)!, other: random.pick(names), what }; // a chain has a base
  }

  function namedBackingFile(random: Seeded, directory: string): Images {
    for (const [name, bytes] of [['base.raw', 70_000] as const, ['dir/base.raw', 90_000] as const]) {
      mkdirSync(join(directory, 'dir'), { recursive: true });
      writeFileSync(join(directory, name), Buffer.alloc(bytes, 5));
    }
    const name = random.pick(['image', 'dir/image', './image']);
    const backing = inventBackingName(random);
    const format = random.pick(['raw', 'raw', 'qcow2', undefined, 'nosuch']);
    createByQemu(join(directory, name), '200k');
    // The name is stored as it is.
    const how = format === undefined ? [] : ['-F', format];
    try {
      run('qemu-img', 'rebase', '-q', '-u', '-b', backing, ...how, join(directory, name));
    } catch {
      // It refuses some; then there is none.
    }
    return { name, other: 'base.raw', what: [JSON.stringify(backing), format ?? ''] };
  }

  testSeeds({ first, count, batch: 6 }, async (seed) => {
    const random = new Seeded(seed);
    const directory = mkdtempSync(join(root, 'case-'));
    const make = random.pick([damagedImage, damagedImage, damagedImage, chainOfImages, namedBackingFile]);
    const { name, other, what } = make(random, directory);
    for (const line of inventLines(random, name, other)) {
      const theirs = await askReal(directory, line);
      if (theirs === undefined) continue;
      const ours = await askOurs(directory, line);
      if (!isExplained(line, theirs, ours)) {
        expect(ours, `${line.join(' ')}\n${what.join('\n')}`).toEqual(theirs);
      }
    }
    rmSync(directory, { recursive: true });
  });
});
