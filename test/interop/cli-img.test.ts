/**
 * `img` against the real qemu-img: the same command lines, one after the other, in two folders that start out equal.
 * Output, errors and exit status have to be the same.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TwoFolders, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

describe.skipIf(!haveQemu)('img', () => {
  let folders: TwoFolders;

  beforeAll(() => {
    folders = new TwoFolders();
    const { img, io } = folders;
    img('create -q -f qcow2 a.qcow2 1M');
    io('a.qcow2', 'write 0 200k');
    img('create -q -f qcow2 -b a.qcow2 -F qcow2 b.qcow2');
    io('b.qcow2', 'write -P 3 64k 64k', 'write -z 256k 64k');
    img('create -q -f qcow2 empty.qcow2 1M');
    img('create -q -f qcow2 none.qcow2 0');
    img('create -q -f qcow2 big.qcow2 3M');
    img('create -q -f raw short.raw 1000');
    img('create -q -f raw r.raw 1M');
    folders.prepare('qemu-io', '-f', 'raw', '-c', 'write 64k 64k', 'r.raw');
    img('convert -c -O qcow2 a.qcow2 packed.qcow2');
    img('create -q -f qcow2 zeros.qcow2 1M');
    io('zeros.qcow2', 'write -z 0 64k');
    img('create -q -f qcow2 byte.qcow2 1M');
    io('byte.qcow2', 'write -P 1 1000 1');
    img('create -q -f qcow2 snap.qcow2 1M');
    img('create -q -f qcow2 old.qcow2 -o compat=0.10 1M');
    img('create -q -f qcow2 wide.qcow2 -o refcount_bits=64,cluster_size=4k,lazy_refcounts=on 1M');
    img('create -q -f qcow2 -u -b nowhere.qcow2 -F qcow2 orphan.qcow2 1M');
  });
  afterAll(() => folders?.remove());

  /** Ours as users start it, in a process of its own. */
  async function compareProgram(args: string[]): Promise<void> {
    const { ours, theirs } = await folders.both('qemu-img', args);
    expect(ours).toEqual(theirs);
  }

  async function compareOutcome(args: string[]): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', args);
    expect(ours).toEqual(theirs);
  }

  describe('command lines', () => {
    test.each([
      "''",
      'foo',
      '-Z',
      '--foo',
      'create',
      'create -Z',
      'create --foo',
      'create -f',
      'create --object',
      'create --object foo',
      'info',
      'info a b',
      'info --o',
      'info -q a.qcow2',
      'info --backing-chain=x a.qcow2',
      'info --output=xml a.qcow2',
      'info --output= a.qcow2',
      'info -f raw --image-opts a.qcow2',
      'check',
      'check a b',
      'check -r foo a.qcow2',
      'check -T foo a.qcow2',
      'map',
      'map --start-offset=-1 b.qcow2',
      'map --max-length=x b.qcow2',
      'compare',
      'compare a.qcow2',
      'compare a b c',
      'compare -T foo a.qcow2 a.qcow2',
      'compare --image-opts -f qcow2 a b',
      'compare -Z a b',
      'resize',
      'resize a.qcow2',
      'resize a.qcow2 1M 2M',
      'resize --foo a.qcow2 1M',
      'resize -1M a.qcow2',
      'resize a.qcow2 -1z',
      'resize a.qcow2 -1M -q',
      'resize a.qcow2 --shrink -1k',
      'info --=',
      'create --=',
      'compare --=',
      'snapshot --=',
      'create --form=zz a',
      'compare --a-format=zz --right-format zz a.qcow2 a.qcow2',
      'map --max-length=-0 a.qcow2',
      'map --max-length=-.5 a.qcow2',
      'map --max-length=16E a.qcow2',
      'convert',
      'convert a.qcow2',
      'convert -Z a b',
      'bench',
      'bench a b',
    ])('%s', (line) => compareOutcome(line === "''" ? [] : words(line)));
  });

  describe('what is watched', () => {
    beforeAll(() => folders.write('events', '# a comment\n\nnosuch\n-nosuch\n no\nno*\n#x\n'));

    test.each([
      '-T',
      '--trace',
      '-T x',
      '-T x -- info empty.qcow2',
      '-T x info empty.qcow2',
      '--trace=x info empty.qcow2',
      '--trac x info empty.qcow2',
      '-Tx info empty.qcow2',
      '-T -x info empty.qcow2',
      "-T '' info empty.qcow2",
      '-T no* info empty.qcow2',
      '-T n?suchevent info empty.qcow2',
      '-T x -T y info empty.qcow2',
      '-T enable=x,enable=y info empty.qcow2',
      '-T x --bogus',
      '-T x bogus',
      '-T x=y info empty.qcow2',
      '-T =y info empty.qcow2',
      '-T a,b info empty.qcow2',
      '-T a,id=4 info empty.qcow2',
      '-T events info empty.qcow2',
      '-T events=nowhere info empty.qcow2',
      '-T events= info empty.qcow2',
      '-T x,events=events info empty.qcow2',
      '-T events=events,enable=x info empty.qcow2',
      '-T file=nowhere/x info empty.qcow2',
      '-T file= info empty.qcow2',
      '-T file=. info empty.qcow2',
      '-T file=o-%s info empty.qcow2',
      '-T file=%d%d info empty.qcow2',
      '-T file=nowhere/x --bogus',
      '-T file=nowhere/x -T file=log info empty.qcow2',
      'info -T x empty.qcow2',
    ])('%s', (line) => compareOutcome(words(line)));
  });

  describe('create', () => {
    test.each([
      'create -f qcow2 new.qcow2',
      'create -f zz new.qcow2 1M',
      'create -f qcow2 new.qcow2 1M',
      'create -f qcow2 new.qcow2 1Z',
      'create -f qcow2 new.qcow2 abc',
      'create -f qcow2 new.qcow2 -- -1',
      'create -f qcow2 new.qcow2 9E',
      'create new.raw 1024',
      'create new.raw 1.5k',
      'create new.raw 1M x',
      'create -q new.raw 1M',
      'create new2.qcow2 -f qcow2 1M',
      'create -f qcow2 -o cluster_size=4k,foo=1 new.qcow2 1M',
      'create -f qcow2 -o cluster_size=zz new.qcow2 1M',
      'create -f qcow2 -o cluster_size=3000 new.qcow2 1M',
      'create -f qcow2 -o refcount_bits=5 new.qcow2 1M',
      'create -f qcow2 -o refcount_bits=x new.qcow2 1M',
      'create -f qcow2 -o refcount_bits new.qcow2 1M',
      'create -f qcow2 -o lazy_refcounts new.qcow2 1M',
      'create -f qcow2 -o nolazy_refcounts new.qcow2 1M',
      'create -f qcow2 -o lazy_refcounts=zz new.qcow2 1M',
      'create -f qcow2 -o lazy_refcounts=on -o compat=0.10 new.qcow2 1M',
      'create -f qcow2 -o preallocation=zz new.qcow2 1M',
      'create -f qcow2 -o preallocation=metadata new.qcow2 1M',
      'create -f qcow2 -o =3 new.qcow2 1M',
      'create -f qcow2 -o , new.qcow2 1M',
      "create -f qcow2 -o '' new.qcow2 1M",
      'create -f qcow2 -o cluster_size=4k, new.qcow2 1M',
      'create -f qcow2 -o ,cluster_size=4k new.qcow2 1M',
      'create -f qcow2 -o cluster_size=4k -o lazy_refcounts=on new.qcow2 1M',
      'create -f qcow2 -o size=2M new.qcow2',
      'create -f qcow2 -o size=2M new.qcow2 1M',
      'create -f qcow2 -b a.qcow2 over.qcow2',
      'create -q -f qcow2 -b a.qcow2 over.qcow2',
      'create -f qcow2 -b a.qcow2 -F qcow2 over.qcow2',
      'create -f qcow2 -b a.qcow2 -F qcow2 over.qcow2 2M',
      'create -f qcow2 -b nowhere -F qcow2 over.qcow2',
      'create -f qcow2 -b nowhere over.qcow2',
      'create -f qcow2 -b nowhere -F qcow2 over.qcow2 1M',
      'create -u -f qcow2 -b nowhere -F qcow2 over.qcow2 1M',
      'create -u -f qcow2 -b nowhere -F qcow2 over.qcow2',
      'create -f raw -b a.qcow2 -F qcow2 over.raw 1M',
      'create -f qcow2 -b a.qcow2 -F zz over.qcow2 1M',
      'create -q -u -f qcow2 -b a.qcow2 -F zz over.qcow2 1M',
      'create -f qcow2 -o backing_file=a.qcow2,backing_fmt=qcow2 over.qcow2',
      'create -f qcow2 -o backing_file=a.qcow2 -b b.qcow2 -F qcow2 over.qcow2',
      'create -f qcow2 -F qcow2 over.qcow2 1M',
      'create -f qcow2 self.qcow2 -b self.qcow2 -F qcow2 1M',
      'create -f raw -o preallocation=falloc new.raw 1M',
      'create -f raw -o preallocation=full new.raw 1M',
      'create -f qcow2 /nonexistent/x 1M',
      'create zz:foo 1M',
      'create -f null-co foo 1M',
      'create -f raw null-co:// 1M',
      'create -f zz -o help',
      'create -f raw -o help',
    ])('%s', (line) => compareProgram(words(line)));
  });

  describe('info', () => {
    test.each([
      'info nonexistent',
      'info -f zz a.qcow2',
      'info a.qcow2',
      'info b.qcow2',
      'info short.raw',
      'info old.qcow2',
      'info wide.qcow2',
      'info orphan.qcow2',
      'info --backing-chain orphan.qcow2',
      'info --output=json b.qcow2',
      'info --output=json old.qcow2',
      'info --output=json short.raw',
      'info --output=json --backing-chain b.qcow2',
      'info --backing-chain b.qcow2',
      'info --image-opts driver=qcow2,file.filename=a.qcow2',
      'info --output json json:{"driver":"qcow2","file":{"driver":"file","filename":"b.qcow2"}}',
      'info /',
      'info -f qcow2 short.raw',
      'info json:{"driver":"null-co","size":1048576}',
      'info zz:foo',
      'info json:foo',
      'info json:[]',
      "info ''",
      'info --out json short.raw',
      'info -U a.qcow2',
    ])('%s', (line) => compareOutcome(words(line)));
  });

  describe('check', () => {
    test.each([
      'check short.raw',
      'check a.qcow2',
      'check --output json a.qcow2',
      'check packed.qcow2',
      'check -r all a.qcow2',
      'check -r leaks a.qcow2',
      'check -q a.qcow2',
      'check nonexistent',
      'check -f raw a.qcow2',
      'check --output=json short.raw',
      'check -f zz a.qcow2',
      'check empty.qcow2',
      'check --output=json empty.qcow2',
      'check none.qcow2',
      'check --output=json none.qcow2',
    ])('%s', (line) => compareOutcome(words(line)));
  });

  describe('check of a damaged image', () => {
    /** Both folders get an image in which the refcount of a cluster was changed. */
    function damage(cluster: number, refcount: number, bytes?: number): void {
      folders.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', 'bad.qcow2', '1M');
      folders.prepare('qemu-io', '-c', 'write 0 200k', 'bad.qcow2');
      folders.patch('bad.qcow2', (image) => {
        const table = Number(image.readBigUInt64BE(48));
        const block = Number(image.readBigUInt64BE(table));
        image.writeUInt16BE(refcount, block + 2 * cluster);
        if (bytes === undefined) return image;
        return Buffer.concat([image, Buffer.alloc(bytes - image.length)]);
      });
    }

    test.each([
      'check bad.qcow2',
      'check -q bad.qcow2',
      'check --output=json bad.qcow2',
      'check -r leaks bad.qcow2',
      'check -r leaks --output=json bad.qcow2',
      'check -q -r all bad.qcow2',
    ])('with a leaked cluster: %s', async (line) => {
      damage(20, 1, 21 * 65536);
      await compareOutcome(words(line));
      await compareOutcome(words('check bad.qcow2'));
    });

    test.each(['check bad.qcow2', 'check --output=json bad.qcow2'])(
      'with a refcount too low: %s',
      async (line) => {
        damage(5, 0);
        await compareOutcome(words(line));
      },
    );
  });

  describe('map', () => {
    test.each([
      'map nonexistent',
      'map a.qcow2',
      'map b.qcow2',
      'map --output=json b.qcow2',
      'map r.raw',
      'map -f raw --output=json r.raw',
      'map packed.qcow2',
      'map --output=json packed.qcow2',
      'map --output=json --start-offset=100000 --max-length=100000 b.qcow2',
      'map --start-offset=100000 --max-length=50k b.qcow2',
      'map -s 64k b.qcow2',
      'map -l 70000 b.qcow2',
      'map --start-offset=2M b.qcow2',
      'map --output=json --start-offset=2M b.qcow2',
      'map --output=json --max-length=0 b.qcow2',
      'map --output=json none.qcow2',
      'map none.qcow2',
      'map --output=json zeros.qcow2',
    ])('%s', (line) => compareOutcome(words(line)));
  });

  describe('compare', () => {
    test.each([
      'compare a.qcow2 nonexistent',
      'compare a.qcow2 b.qcow2',
      'compare a.qcow2 packed.qcow2',
      'compare -q a.qcow2 b.qcow2',
      'compare -s a.qcow2 packed.qcow2',
      'compare -s a.qcow2 b.qcow2',
      'compare -p a.qcow2 packed.qcow2',
      'compare -p a.qcow2 b.qcow2',
      'compare -q -p empty.qcow2 empty.qcow2',
      'compare big.qcow2 empty.qcow2',
      'compare -s big.qcow2 empty.qcow2',
      'compare a.qcow2 big.qcow2',
      'compare -s zeros.qcow2 empty.qcow2',
      'compare zeros.qcow2 empty.qcow2',
      'compare byte.qcow2 empty.qcow2',
      'compare empty.qcow2 byte.qcow2',
      'compare -f raw -F qcow2 a.qcow2 a.qcow2',
      'compare -f zz a.qcow2 b.qcow2',
      'compare -F zz a.qcow2 b.qcow2',
      'compare empty.qcow2 none.qcow2',
      'compare --image-opts driver=qcow2,file.filename=a.qcow2 driver=qcow2,file.filename=packed.qcow2',
    ])('%s', (line) => compareOutcome(words(line)));
  });

  describe('compare of disks that differ, or cannot be read, somewhere behind their first pieces', () => {
    beforeAll(() => {
      for (const name of ['long.raw', 'other.raw']) {
        folders.prepare('qemu-img', 'create', '-q', '-f', 'raw', name, '10M');
        folders.prepare('qemu-io', '-f', 'raw', '-c', 'write -P 1 0 10M', name);
      }
      folders.prepare('qemu-io', '-f', 'raw', '-c', 'write -P 2 5M 1', 'other.raw');
    });

    /** An image of which the sector at so many MiB fails. */
    function broken(name: string, mebibytes: number): string {
      const error = `event=none iotype=read sector=${mebibytes * 2048}`;
      const injected = error
        .replace(/\S+/g, (option) => `file.inject-error.0.${option}`)
        .replaceAll(' ', ',');
      return `driver=raw,file.driver=blkdebug,file.image.filename=${name},${injected}`;
    }
    const whole = (name: string): string => `driver=raw,file.filename=${name}`;

    test.each([
      [whole('long.raw'), whole('other.raw')],
      [broken('long.raw', 6), whole('other.raw')],
      [whole('long.raw'), broken('other.raw', 3)],
      [broken('long.raw', 3), broken('other.raw', 6)],
      [broken('long.raw', 8), broken('long.raw', 7)],
    ])('%s %s', (one, other) => compareOutcome(['compare', '-p', '--image-opts', one, other]));
  });

  describe('resize', () => {
    test('changes the length step by step as qemu-img does', async () => {
      folders.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', 'x.qcow2', '1M');
      folders.prepare('qemu-img', 'create', '-q', '-f', 'raw', 'x.raw', '1M');
      for (const line of [
        'resize x.qcow2 2M',
        'resize x.qcow2 +1M',
        'resize x.qcow2 -1M',
        'resize x.qcow2 -- -1M',
        'resize -- x.qcow2 -1M',
        'resize --shrink -- x.qcow2 -1M',
        'resize --shrink x.qcow2 1M',
        'resize -q x.qcow2 2M',
        'resize x.qcow2 2000001',
        'resize x.qcow2 abc',
        'resize x.qcow2 0',
        'resize x.qcow2 -- -20M',
        'resize x.qcow2 +',
        "resize x.qcow2 ''",
        'resize --preallocation=foo x.qcow2 4M',
        'resize --preallocation=full x.qcow2 4M',
        'resize --preallocation=off --shrink x.qcow2 1M',
        'resize --preallocation=full --shrink x.qcow2 512k',
        'resize --preallocation=full x.qcow2 1M',
        'resize x.raw 2M',
        'resize -f raw x.raw 1000',
        'resize nonexistent 1M',
        'resize x.qcow2 1M',
        'resize x.qcow2 +0',
        'resize -f zz x.qcow2 1M',
        'resize x.qcow2 1.5M',
        'resize --image-opts driver=qcow2,file.filename=x.qcow2 3M',
        'info --output=json x.raw',
      ]) {
        const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
        expect({ line, ...ours }).toEqual({ line, ...theirs });
      }
    });
  });

  describe('bench', () => {
    test.each([
      'bench -c 100 a.qcow2',
      'bench -c 0 a.qcow2',
      'bench -c x a.qcow2',
      'bench -c -1 a.qcow2',
      'bench -c 0x10 a.qcow2',
      'bench -d x a.qcow2',
      'bench -s x a.qcow2',
      'bench -s 3G a.qcow2',
      'bench -S x a.qcow2',
      'bench -S 3G a.qcow2',
      'bench -c 10 -S 0 a.qcow2',
      'bench -o x a.qcow2',
      'bench -t foo a.qcow2',
      'bench -i foo a.qcow2',
      'bench -n -c 10 a.qcow2',
      'bench --pattern=x a.qcow2',
      'bench --pattern=300 a.qcow2',
      'bench --flush-interval=x a.qcow2',
      'bench --flush-interval=10 a.qcow2',
      'bench -w --flush-interval=10 -c 100 a.qcow2',
      'bench --no-drain -c 10 a.qcow2',
      'bench nonexistent',
      'bench -f zz a.qcow2',
      'bench -c 4 -o 2M a.qcow2',
      'bench -c 10 -s 2M a.qcow2',
      'bench -w -c 300 --flush-interval=100 big.qcow2',
      'bench -w -c 300 --flush-interval=100 --no-drain big.qcow2',
      'bench -w -c 100 -d 4 -s 8k -S 16k -o 64k --pattern=5 -q big.qcow2',
    ])('%s', (line) => compareOutcome(words(line)));

    test('writes what it says', async () => {
      const { ours, theirs } = await folders.both('qemu-io', [
        '-c',
        'read -P 5 64k 8k',
        '-c',
        'map',
        'big.qcow2',
      ]);
      expect(ours).toEqual(theirs);
      expect(ours.status).toBe(0);
    });
  });
});
