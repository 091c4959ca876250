/** Commands of qemu-io that try every flag, aligned and not, inside the disk and a little beyond. */
import type { Seeded } from '../../support/seeded.ts';

export interface Disk {
  bytes: number;
  clusterBytes: number;
}

interface Range {
  offset: number;
  bytes: number;
}

function range(random: Seeded, { bytes, clusterBytes }: Disk): Range {
  const unit = random.pick([1, 1, 512, 512, 4096, clusterBytes || 512]);
  const last = Math.max(1, random.oneIn(12) ? bytes + 2000 : bytes);
  const offset = Math.floor(random.below(last) / unit) * unit;
  const most = random.pick([unit, 4 * unit, 20_000, Math.max(1, bytes - offset)]);
  let length = Math.max(unit, Math.floor((1 + random.below(most)) / unit) * unit);
  if (random.oneIn(8)) length = Math.max(0, bytes - offset);
  if (random.oneIn(30)) length = 0;
  return { offset, bytes: random.oneIn(10) ? length : Math.min(length, Math.max(0, bytes - offset)) };
}

function wholeClusters({ offset, bytes }: Range, { clusterBytes }: Disk): Range {
  const unit = clusterBytes || 512;
  return { offset: offset - (offset % unit), bytes: Math.max(unit, bytes - (bytes % unit)) };
}

/** To whole clusters: of a part of one, QEMU shows the old content when the disk grows again. */
function truncate(bytes: number, { clusterBytes }: Disk): string {
  return `truncate ${clusterBytes ? Math.ceil(bytes / clusterBytes) * clusterBytes : bytes}`;
}

const byte = (random: Seeded): number => random.below(256);

/** One command, or an asynchronous one and the wait for it: whose report comes first is a matter of speed. */
export function ioCommands(random: Seeded, disk: Disk): string[] {
  const command = ioCommand(random, disk);
  return command.startsWith('aio_') ? [command, 'aio_flush'] : [command];
}

function ioCommand(random: Seeded, disk: Disk): string {
  const here = range(random, disk);
  const { offset, bytes } = here;
  switch (random.below(15)) {
    case 0:
      return `read -P ${byte(random)} ${offset} ${bytes}`;
    case 1:
      return `read -v ${offset} ${Math.min(bytes, 64)}`;
    case 2:
      return `read ${random.pick(['-q ', '', ''])}${offset} ${bytes}`;
    case 3:
    case 4:
    case 5:
      return `write ${random.pick(['', '', '-f ', '-q '])}-P ${byte(random)} ${offset} ${bytes}`;
    case 6:
      return `write -z ${random.pick(['', '-f '])}${random.pick(['', '-u '])}${offset} ${bytes}`;
    case 7: {
      // Where it fails in the middle, QEMU has changed a part.
      const whole = wholeClusters(here, disk);
      return `write -z -n ${random.pick(['', '-u '])}${whole.offset} ${whole.bytes}`;
    }
    case 8: {
      // One at a time: of several, QEMU goes on after one has failed.
      const whole = random.oneIn(4) ? here : wholeClusters(here, disk);
      const unit = disk.clusterBytes || 512;
      const bytes = Math.max(1, Math.min(whole.bytes, unit));
      return `write -c -P ${1 + random.below(255)} ${whole.offset} ${bytes}`;
    }
    case 9:
      return `writev ${random.pick(['', '-f '])}-P ${byte(random)} ${offset} ${bytes} ${random.below(3000)}`;
    case 10:
      return `readv ${offset} ${bytes} ${random.below(3000)}`;
    case 11:
      return `aio_write ${random.pick(['', '-z ', '-z -u ', '-f '])}${offset} ${bytes}`;
    case 12:
      return `discard ${random.pick(['', '-q '])}${offset} ${bytes}`;
    case 13:
      return random.pick(['flush', 'length', truncate(offset + bytes, disk), 'reopen -r', 'reopen -w']);
    default:
      return `aio_read ${offset} ${bytes}`;
  }
}
