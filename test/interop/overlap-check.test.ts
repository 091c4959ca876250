/**
 * Writes that would hit metadata of a damaged image, against the real tools: which are refused under which options, in which
 * words, and whether the image is marked as corrupt.
 *
 * Not as in QEMU: a new L2 table is not put where one is already, and no cluster at offset 0 is ever given out.
 */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RawImage } from '../sim/raw-qcow2.ts';
import { bundle, type Outcome, type ToolName, TwoFolders } from '../support/cli.ts';
import { type Message, runScript, startProgram } from '../support/qmp-sessions.ts';
import { haveQemu, haveQemuSystem } from '../support/tools.ts';

const copied = 1n << 63n;
const offsetMask = 0x00fffffffffffe00n;
const incompatibleFeatures = 72;
const bitmapsExtension = 0x23852875;

/** Where things are in the image. */
interface Layout {
  header: number;
  l1: number;
  /** Of guest offset 0, and of 512 MiB; snapshot `s` shares the second. */
  l2: [number, number];
  refcountTable: number;
  refcountBlock: number;
  snapshotTable: number;
  inactiveL1: number;
  inactiveL2: number;
  bitmapDirectory: number;
}
type Place = Exclude<keyof Layout, 'header' | 'l2'> | 'l2';

const places: Place[] = [
  'l1',
  'l2',
  'refcountTable',
  'refcountBlock',
  'snapshotTable',
  'inactiveL1',
  'inactiveL2',
  'bitmapDirectory',
];

function layoutOf(bytes: Uint8Array): Layout {
  const image = new RawImage(bytes);
  const at = (offset: number) => Number(image.entry(offset) & offsetMask);
  const l1 = image.l1.offset;
  const refcountTable = at(48);
  const snapshotTable = at(64);
  const inactiveL1 = at(snapshotTable);
  let extension = image.view.getUint32(100);
  while (image.view.getUint32(extension) !== bitmapsExtension)
    extension += 8 + Math.ceil(image.view.getUint32(extension + 4) / 8) * 8;
  return {
    header: 0,
    l1,
    l2: [at(l1), at(l1 + 8)],
    refcountTable,
    refcountBlock: at(refcountTable),
    snapshotTable,
    inactiveL1,
    inactiveL2: at(inactiveL1),
    bitmapDirectory: at(extension + 8 + 16),
  };
}

describe.skipIf(!haveQemu || !haveQemuSystem)('a write over metadata', () => {
  let folders: TwoFolders;
  let layout: Layout;
  const offsetOf = (place: Place): number => (place === 'l2' ? layout.l2[1] : layout[place]);

  beforeAll(() => {
    folders = new TwoFolders();
    folders.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', 'clean', '2G');
    folders.prepare('qemu-io', '-c', 'write -P 1 0 128k', '-c', 'write -P 2 512M 64k', 'clean');
    folders.prepare('qemu-img', 'snapshot', '-c', 's', 'clean');
    folders.prepare('qemu-io', '-c', 'write -P 3 0 128k', 'clean');
    folders.prepare('qemu-img', 'bitmap', '--add', 'clean', 'b');
    layout = layoutOf(readFileSync(join(folders.ours, 'clean')));
  });
  afterAll(() => folders?.remove());

  /** Runs a tool of both on the image after `damage`: what they say of the image, and whether it is marked afterwards. */
  async function compare(
    damage: (image: RawImage) => void,
    tool: ToolName,
    args: string[],
  ): Promise<{ ours: string; theirs: string }> {
    for (const folder of [folders.ours, folders.theirs])
      copyFileSync(join(folder, 'clean'), join(folder, 'disk'));
    folders.patch('disk', (bytes) => {
      damage(new RawImage(bytes));
      return bytes;
    });
    const { ours, theirs } = await folders.both(tool, args);
    const summary = ({ stdout, stderr }: Outcome, folder: string) => {
      const { view } = new RawImage(readFileSync(join(folder, 'disk')));
      // That bitmaps could not be stored in an image that is damaged, QEMU does not mention.
      const lines = stderr.split('\n').filter((line) => line !== '' && !line.includes('Lost persistent'));
      return [stdout, ...lines, `marked: ${view.getBigUint64(incompatibleFeatures)}`].join('\n');
    };
    return { ours: summary(ours, folders.ours), theirs: summary(theirs, folders.theirs) };
  }

  const io = (command: string, options = ''): string[] => [
    '-c',
    command,
    '--image-opts',
    `driver=qcow2,file.filename=disk${options}`,
  ];

  /** Guest cluster 0 is there. */
  const mapTo = (offset: number) => (image: RawImage) =>
    image.view.setBigUint64(layout.l2[0], BigInt(offset) | copied);
  /** What is there counts as free. */
  const free = (offset: number) => (image: RawImage) =>
    image.view.setUint16(layout.refcountBlock + (offset / 65536) * 2, 0);

  test.each([
    '',
    ',overlap-check=none',
    ',overlap-check=constant',
    ',overlap-check=cached',
    ',overlap-check=all',
  ])(
    'in place is refused as in QEMU, whatever it hits, with "%s"',
    async (options) => {
      for (const place of places) {
        const { ours, theirs } = await compare(
          mapTo(offsetOf(place)),
          'qemu-io',
          io('write -P 9 4k 4k', options),
        );
        expect(`${place}: ${ours}`).toBe(`${place}: ${theirs}`);
      }
    },
    60_000,
  );

  test('in place is checked class by class', async () => {
    const cases: [Place, string][] = [
      ['l2', ',overlap-check.template=none,overlap-check.active-l2=on'],
      ['l1', ',overlap-check.template=none,overlap-check.active-l2=on'],
      ['inactiveL2', ',overlap-check.inactive-l2=on'],
      ['refcountBlock', ',overlap-check.refcount-block=off'],
      ['snapshotTable', ',overlap-check.template=all,overlap-check.snapshot-table=off'],
      ['inactiveL1', ',overlap-check.template=constant,overlap-check.inactive-l1=on'],
    ];
    for (const [place, options] of cases) {
      const { ours, theirs } = await compare(
        mapTo(offsetOf(place)),
        'qemu-io',
        io('write -P 9 4k 4k', options),
      );
      expect(`${options}: ${ours}`).toBe(`${options}: ${theirs}`);
    }
  }, 60_000);

  test('in new clusters is refused as in QEMU', async () => {
    const cases: [string, string][] = [
      ['write -P 9 1M 64k', ''],
      ['write -P 9 1M 64k', ',overlap-check=constant'],
    ];
    for (const place of places) {
      for (const [command, options] of cases) {
        const { ours, theirs } = await compare(free(offsetOf(place)), 'qemu-io', io(command, options));
        expect(`${place}${options}: ${ours}`).toBe(`${place}${options}: ${theirs}`);
      }
    }
  }, 60_000);

  test.each([
    ['guest data over the header', 'header', 'write -P 9 1M 64k'],
    ['an L2 table over the header', 'header', 'write -P 9 1G 64k'],
    ['compressed data over the header', 'header', 'write -c -P 9 1M 64k'],
    ['compressed data over the L1 table', 'l1', 'write -c -P 9 1M 64k'],
    ['an L2 table over the L1 table', 'l1', 'write -P 9 1G 64k'],
    ['an L2 table over a refcount block', 'refcountBlock', 'write -P 9 1G 64k'],
  ] as const)('by new structures is refused as in QEMU: %s', async (_what, place, command) => {
    const { ours, theirs } = await compare(free(layout[place]), 'qemu-io', io(command));
    expect(theirs).toContain('Preventing invalid');
    expect(ours).toBe(theirs);
  });

  test.each(['header', 'l1', 'refcountBlock', 'bitmapDirectory'] as const)(
    'by the tables of a new snapshot is refused as in QEMU: %s',
    async (place) => {
      const { ours, theirs } = await compare(free(layout[place]), 'qemu-img', [
        'snapshot',
        '-c',
        'x',
        'disk',
      ]);
      expect(theirs).toContain('Preventing invalid write');
      expect(ours).toBe(theirs);
    },
  );

  test('by tables that are written back is refused as in QEMU', async () => {
    const l2At = (place: Place) => (image: RawImage) =>
      image.view.setBigUint64(layout.l1, BigInt(offsetOf(place)) | copied);
    for (const place of ['l1', 'refcountTable', 'snapshotTable', 'inactiveL1', 'inactiveL2'] as const) {
      for (const options of ['', ',overlap-check=all']) {
        const { ours, theirs } = await compare(l2At(place), 'qemu-io', io('write -P 9 1M 64k', options));
        expect(`L2 at ${place}${options}: ${ours}`).toBe(`L2 at ${place}${options}: ${theirs}`);
      }
    }
    const sharedPlace = (image: RawImage) =>
      image.view.setBigUint64(layout.l1 + 8, BigInt(layout.l1) | copied);
    const { ours, theirs } = await compare(sharedPlace, 'qemu-io', io('write -P 9 1G 64k'));
    expect(theirs).toContain('overlaps with active L2 table');
    expect(ours).toBe(theirs);
  }, 60_000);

  test('names the same class as QEMU where two are in one place', async () => {
    const l2At = (place: Place) => (image: RawImage) =>
      image.view.setBigUint64(layout.l1 + 16, BigInt(offsetOf(place)) | copied);
    const blockAt = (place: Place) => (image: RawImage) =>
      image.view.setBigUint64(layout.refcountTable + 8, BigInt(offsetOf(place)));
    const inactiveL1At = (place: Place) => (image: RawImage) =>
      image.view.setBigUint64(layout.snapshotTable, BigInt(offsetOf(place)));
    const inactiveL2At = (place: Place) => (image: RawImage) =>
      image.view.setBigUint64(layout.inactiveL1 + 16, BigInt(offsetOf(place)));
    const cases: [string, Place, (place: Place) => (image: RawImage) => void][] = [
      ['L2 and L1', 'l1', l2At],
      ['L2 and refcount table', 'refcountTable', l2At],
      ['L2 and snapshot table', 'snapshotTable', l2At],
      ['L2 and inactive L1', 'inactiveL1', l2At],
      ['L2 and inactive L2', 'inactiveL2', l2At],
      ['block and L2', 'l2', blockAt],
      ['block and snapshot table', 'snapshotTable', blockAt],
      ['block and inactive L2', 'inactiveL2', blockAt],
      ['inactive L1 and refcount table', 'refcountTable', inactiveL1At],
      ['inactive L1 and snapshot table', 'snapshotTable', inactiveL1At],
      ['inactive L2 and L2', 'l2', inactiveL2At],
      ['inactive L2 and block', 'refcountBlock', inactiveL2At],
    ];
    for (const [what, place, second] of cases) {
      const damage = (image: RawImage) => {
        mapTo(offsetOf(place))(image);
        second(place)(image);
      };
      const { ours, theirs } = await compare(damage, 'qemu-io', io('write -P 9 4k 4k', ',overlap-check=all'));
      expect(`${what}: ${ours}`).toBe(`${what}: ${theirs}`);
    }
  }, 60_000);

  test('follows the options of a reopened image', async () => {
    for (const [options, reopen] of [
      ['', 'none'],
      ['-o overlap-check=none ', 'cached'],
      ['-o overlap-check=none ', 'all'],
    ]) {
      const commands = [`open ${options}disk`, `reopen -o overlap-check=${reopen}`, 'write -P 9 4k 4k'];
      const { ours, theirs } = await compare(
        mapTo(layout.inactiveL1),
        'qemu-io',
        commands.flatMap((command) => ['-c', command]),
      );
      expect(theirs.includes('overlaps with inactive L1 table')).toBe(reopen !== 'none');
      expect(`${options} to ${reopen}: ${ours}`).toBe(`${options} to ${reopen}: ${theirs}`);
    }
  }, 60_000);

  test('is told to whoever watches, with offset and size of the write', async () => {
    const damaged = join(folders.ours, 'watched');
    copyFileSync(join(folders.ours, 'clean'), damaged);
    const bytes = readFileSync(damaged);
    mapTo(layout.l1)(new RawImage(bytes));
    const file = { driver: 'file', filename: damaged };
    const arguments_ = { driver: 'qcow2', 'node-name': 'n', file };
    const corrupted: Message[][] = [];
    const machine = ['-machine', 'none', '-nodefaults', '-display', 'none', '-qmp', 'stdio'];
    for (const [command, ...args] of [['qemu-system-x86_64'], [process.execPath, bundle, 'system']]) {
      writeFileSync(damaged, bytes);
      const session = startProgram(command!, [...args, ...machine], folders.ours); // neither list is empty
      const isEvent = ({ event }: Message) => event === 'BLOCK_IMAGE_CORRUPTED';
      const messages = await runScript(session, [
        { execute: 'blockdev-add', arguments: arguments_ },
        {
          execute: 'human-monitor-command',
          arguments: { 'command-line': 'qemu-io n "write 5k 512"' },
        },
      ]);
      await session.close();
      corrupted.push(messages.filter(isEvent));
    }
    expect(corrupted[0]).toHaveLength(1);
    expect(corrupted[1]).toEqual(corrupted[0]);
  });
});
