/**
 * Random chains of images: every layer longer or shorter than the others, of odd lengths where it is raw; and overlays
 * whose header names its backing file in every way.
 */
import { spawnSync } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createByQemu, ioCommands, run } from '../../support/qemu.ts';
import type { Seeded } from '../../support/seeded.ts';

const sector = 512;

/** The names from the base to the top, which are made in `directory`; and what they are. */
export function makeChain(random: Seeded, directory: string): { names: string[]; what: string[] } {
  const unit = random.pick([512, 4096, 65536, 65536]);
  const length = (): number =>
    Math.max(sector, unit * random.below(30) + sector * random.below(random.pick([1, 2, 8])));
  const names: string[] = [];
  const what: string[] = [];
  const layers = 1 + random.below(4);
  for (let layer = 0; layer < layers; layer++) {
    const raw = layer === 0 && random.oneIn(2);
    const bytes = length();
    const below = names.at(-1);
    const name = `${layer}.${raw ? 'raw' : 'qcow2'}`;
    const file = join(directory, name);
    const options = `cluster_size=${random.pick([512, 4096, 65536, 65536, 262144])},compat=${random.pick(['1.1', '1.1', '0.10'])}`;
    if (raw) {
      writeFileSync(file, '');
      truncateSync(file, bytes - (random.oneIn(2) ? random.below(sector) : 0));
    } else {
      const format = below?.split('.')[1];
      const backing =
        below !== undefined && format !== undefined
          ? { backing: { file: join(directory, below), format } }
          : {};
      createByQemu(file, bytes, { options, ...backing });
      // As a script names it: beside the overlay.
      if (below !== undefined) run('qemu-img', 'rebase', '-u', '-b', below, '-F', format!, file); // it has an extension
    }
    const writes = raw && bytes < 4096 ? [] : inventWrites(random, bytes, raw);
    if (writes.length > 0)
      spawnSync('qemu-io', ['-f', raw ? 'raw' : 'qcow2', '-d', 'unmap', ...ioCommands(...writes), file]);
    names.push(name);
    what.push([name, bytes, raw ? '' : options, ...writes].join(' '));
  }
  return { names, what };
}

function inventWrites(random: Seeded, bytes: number, raw: boolean): string[] {
  const acts = [
    'write -q -P 1',
    'write -q -P 2',
    'write -q -P 0',
    'write -q -z',
    'write -q -z -u',
    'discard -q',
  ];
  if (!raw) acts.push('write -q -c -P 3');
  return Array.from({ length: random.below(6) }, () => {
    const sectors = Math.floor(bytes / sector);
    const offset = random.below(sectors) * sector;
    const most = random.oneIn(2) ? 8 : sectors;
    const length = Math.min((1 + random.below(most)) * sector, sectors * sector - offset);
    return `${random.pick(acts)} ${offset} ${length}`;
  });
}

const nameParts = [
  ...[
    '',
    ' ',
    '  ',
    '.',
    '..',
    '/',
    '//',
    './',
    '../',
    'a',
    'base.raw',
    'base',
    'dir/',
    'dir/base.raw',
    'no',
  ],
  ...[
    ':',
    '::',
    'file:',
    'file:base.raw',
    'nbd:',
    'nbd://',
    'http:',
    'raw:',
    'fat:',
    'blkdebug:',
    'x:y',
    'null-co://',
    'host_device:',
  ],
  ...[
    'json:',
    'json:{',
    'json:{}',
    'json:{"driver":"null-co"}',
    'json:{"driver":"raw","file":{"driver":"file","filename":"base.raw"}}',
  ],
  ...[
    ',',
    'a,b',
    '=',
    '%',
    '%s',
    '%20',
    '?',
    '*',
    '#',
    '~',
    '$HOME',
    '`',
    "'",
    '"',
    '\\',
    '\\n',
    '|',
    ';',
    '&',
    '<',
    '>',
    '(',
    '[',
  ],
  ...[
    '\t',
    '\n',
    '\r',
    '\u0001',
    '\u007f',
    '\u0080',
    'é',
    'e\u0301',
    '漢字',
    '💥',
    '\u202e',
    '\ufeff',
    '\u2028',
    '\ufffe',
  ],
  ...['x'.repeat(255), 'x'.repeat(300), 'ü'.repeat(130), 'x/'.repeat(200)],
];

/** A backing file's name, and how an overlay in `over` or in a folder below it is made that has it. */
export function inventBackingName(random: Seeded): string {
  const parts = Array.from({ length: 1 + random.below(3) }, () => random.pick(nameParts));
  return parts.join('');
}
