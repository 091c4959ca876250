/**
 * Scripts of `io` commands: every command that comes back by itself, with every flag, on numbers that are mostly good.
 * Left out is what differs by chance, or from run to run of the real one.
 */
import type { Seeded } from '../../support/seeded.ts';

export interface Script {
  options: string;
  commands: string[];
}

interface Image {
  name: string;
  format: 'qcow2' | 'raw';
  bytes: number;
  unit: number;
}

const images: readonly Image[] = [
  { name: 'a.qcow2', format: 'qcow2', bytes: 2 << 20, unit: 64 << 10 },
  { name: 'over.qcow2', format: 'qcow2', bytes: 2 << 20, unit: 64 << 10 },
  { name: 'old.qcow2', format: 'qcow2', bytes: 1 << 20, unit: 64 << 10 },
  { name: 'tiny.qcow2', format: 'qcow2', bytes: 300 << 10, unit: 4 << 10 },
  { name: 'r.raw', format: 'raw', bytes: 1 << 20, unit: 512 },
];

export function randomScript(random: Seeded): Script {
  const image = random.pick(images);
  const writer = new ScriptWriter(random, image);
  const options = openingOptions(random, image);
  const isTemporary = options.split(' ').includes('-s');
  const commands: string[] = [];
  for (let left = 4 + random.below(10); left > 0; left--) commands.push(...writer.next(isTemporary));
  return { options, commands };
}

function openingOptions(random: Seeded, { name, format }: Image): string {
  const options: string[] = [];
  const seldom = (...add: string[]): void => void (random.oneIn(6) && options.push(...add));
  seldom('-t', random.pick(['none', 'writeback', 'writethrough', 'directsync', 'unsafe', 'zz']));
  seldom('-d', random.pick(['ignore', 'unmap', 'off', 'on', 'zz']));
  seldom('-i', random.pick(['threads', 'io_uring', 'zz']));
  seldom('-r');
  seldom('-s');
  seldom('-n');
  seldom('-m');
  if (random.oneIn(6) && name === 'over.qcow2') options.push('-C');
  if (random.oneIn(20)) options.push('-U');
  if (random.oneIn(3)) return [...options, '--image-opts', described(random, name, format)].join(' ');
  return [...options, '-f', random.oneIn(20) ? 'zz' : format, name].join(' ');
}

function described(random: Seeded, name: string, format: string): string {
  const own = `driver=${format},file.driver=file,file.filename=${name}`;
  const below = (child: string): string =>
    `${child}.driver=${format},${child}.file.driver=file,${child}.file.filename=${name}`;
  const more = random.pick([
    '',
    '',
    ',discard=unmap',
    ',discard=ignore',
    ',detect-zeroes=on',
    ',discard=unmap,detect-zeroes=unmap',
    ',read-only=on',
    ',foo=bar',
  ]);
  switch (random.below(6)) {
    case 0:
      return `driver=raw,${below('file')}${more}`;
    case 1:
      return `driver=raw,offset=64k,${below('file')}${more}`;
    case 2:
      return `driver=blkdebug,${below('image')}${more.replace(',foo=bar', '')}`;
    default:
      return `${own}${more}`;
  }
}

class ScriptWriter {
  constructor(
    private readonly random: Seeded,
    private readonly image: Image,
  ) {}

  /** One command, or one and what waits for it. `isTemporary`: the file has no name any more, and is not opened again. */
  next(isTemporary: boolean): string[] {
    const command = isTemporary ? this.request() : this.any();
    return command.startsWith('aio_') ? [command, 'aio_flush'] : [command];
  }

  private any(): string {
    return this.random.below(12) < 10 ? this.request() : this.reopen();
  }

  private request(): string {
    const { random } = this;
    switch (random.below(17)) {
      case 0:
      case 1:
        return `${random.pick(['read', 'r'])} ${this.flags('CqvrpZ')}${this.readPattern()}${this.range(true)}`;
      case 2:
      case 3:
        return `${random.pick(['write', 'w'])} ${this.flags('fCqrpunZ')}${this.pattern()}${this.range()}`;
      case 4:
      case 5:
        return `write -z ${this.flags('ufCqn')}${this.range()}`;
      case 6:
        return `write -c ${this.flags('Cq')}${this.pattern()}${this.oneUnit()}`;
      case 7:
        return `write -b ${this.flags('Cqf')}${this.pattern()}${this.vmState()}`;
      case 8:
        return `read -b ${this.flags('Cq')}${this.readPattern()}${this.vmState()}`;
      case 9:
        return `writev ${this.flags('fCqrZ')}${this.pattern()}${this.range()} ${random.pick(['', this.number(), '512 1k'])}`;
      case 10:
        return `readv ${this.flags('CqrvZ')}${this.readPattern()}${this.range(true)} ${random.pick(['', '7', '16 32'])}`;
      case 11:
        return `aio_write ${this.flags('fCqriuz')}${this.pattern()}${this.range()}`;
      case 12:
        return `aio_read ${this.flags('Cqriv')}${this.readPattern()}${this.range(true)}`;
      case 13:
        return `discard ${this.flags('CqZ')}${this.range()}`;
      case 14:
        return random.pick(['flush', 'length', 'map', 'info', 'l', 'f 1', 'i', 'map 0', 'help length', 'zz']);
      case 15:
        return `alloc ${random.oneIn(3) ? this.number() : this.range()}`;
      default:
        return `truncate ${random.oneIn(5) ? `-m ${random.pick(['off', 'full', 'falloc', 'metadata', 'zz'])} ` : ''}${this.length()}`;
    }
  }

  private reopen(): string {
    const { random } = this;
    const option = random.pick([
      'read-only=on',
      'read-only=off',
      'discard=ignore',
      'discard=unmap',
      'detect-zeroes=on',
      'detect-zeroes=zz',
      'cache.direct=on',
      'cache.no-flush=on',
      'lazy-refcounts=on',
      'overlap-check=all',
      'file.filename=x',
      'file.locking=on',
      'foo=bar',
      'driver=raw',
      'size=64k',
    ]);
    return random.pick([
      'reopen',
      'reopen -r',
      'reopen -w',
      `reopen -c ${random.pick(['none', 'writeback', 'writethrough', 'directsync', 'unsafe', 'zz'])}`,
      `reopen -o ${option}`,
      `reopen -r -o ${option}`,
      `reopen -c writeback -o ${option}`,
    ]);
  }

  /** Some of `letters`; `Z` is none of any command's. */
  private flags(letters: string): string {
    const chosen = [...letters].filter((letter) => this.random.oneIn(letter === 'Z' ? 40 : 7));
    return chosen.length === 0 ? '' : `-${chosen.join('')} `;
  }

  private pattern(): string {
    return this.random.pick([
      '',
      '-P 0 ',
      '-P 171 ',
      '-P 0x7a ',
      '-P 010 ',
      '-P 48 ',
      '-P 256 ',
      '-s pattern.txt ',
    ]);
  }

  private readPattern(): string {
    return this.random.pick([
      '',
      '',
      '',
      '-P 0 ',
      '-P 205 ',
      '-P 7 -s 3 -l 4 ',
      '-P 1 -l 10 ',
      '-s 2 ',
      '-P zz ',
    ]);
  }

  private number(): string {
    return this.random.pick([
      '0',
      '1',
      '511',
      '512',
      '4k',
      '64k',
      '0x1000',
      '1.5k',
      '.5k',
      '3M',
      '1M',
      '-1',
      'x',
      '1e3',
      '08',
      '8E',
      '3G',
    ]);
  }

  private length(): string {
    const { random } = this;
    if (random.oneIn(4)) return this.number();
    const { bytes, unit } = this.image;
    return String(Math.ceil((bytes + (random.below(bytes) - bytes / 2)) / unit) * unit);
  }

  /** `small`: what is dumped is short. */
  private range(small = false): string {
    const { random } = this;
    if (random.oneIn(8)) return `${this.number()} ${this.number().replace('3G', '3M')}`;
    const { bytes, unit } = this.image;
    const grain = random.pick([1, 512, unit]);
    const last = random.oneIn(10) ? bytes + 3000 : bytes;
    const offset = Math.floor(random.below(last) / grain) * grain;
    const length = Math.floor((1 + random.below(random.pick([grain, 4 * unit]))) / grain) * grain || grain;
    const within = random.oneIn(10) ? length : Math.max(0, Math.min(length, bytes - offset));
    return `${offset} ${small ? Math.min(within, 200) : within}`;
  }

  /** Compressed: of several, QEMU goes on after one has failed. */
  private oneUnit(): string {
    const { random, image } = this;
    const { bytes, unit } = image;
    if (random.oneIn(5)) return `${this.number()} ${random.pick(['512', '1', '1k'])}`;
    return `${Math.floor(random.below(bytes) / unit) * unit} ${unit}`;
  }

  private vmState(): string {
    const { random } = this;
    return `${random.pick(['0', '512', '64k', '100k', '1', '1M'])} ${random.pick(['512', '1k', '64k', '100', '0'])}`;
  }
}
