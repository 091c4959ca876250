/** `img snapshot`, and what else `img` does with snapshots, against the real qemu-img. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Outcome, TwoFolders, words } from '../support/cli.ts';
import { bothHere } from '../support/own-tools.ts';
import { haveQemu } from '../support/tools.ts';

/** The two tools work one after the other. */
function withoutDates(outcome: Outcome): Outcome {
  return { ...outcome, stdout: outcome.stdout.replace(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, 'DATE') };
}

describe.skipIf(!haveQemu)('img snapshot', () => {
  let folders: TwoFolders;

  beforeAll(() => {
    folders = new TwoFolders();
    const { img, io } = folders;
    img('create -q -f qcow2 a.qcow2 1M');
    img('create -q -f raw r.raw 1M');
    img('create -q -f qcow2 -o refcount_bits=1 narrow.qcow2 1M');
    io('narrow.qcow2', 'write 0 64k');
    img('create -q -f qcow2 s.qcow2 1M');
    io('s.qcow2', 'write -P 1 0 1M');
    img('snapshot -c one s.qcow2');
    io('s.qcow2', 'write -P 2 64k 64k');
    img('snapshot -c 1 s.qcow2');
    io('s.qcow2', 'write -P 3 128k 64k');
    img('create -q -f qcow2 marked.qcow2 1M');
    img('snapshot -c one marked.qcow2');
    img('bitmap --add marked.qcow2 b');
  });
  afterAll(() => folders?.remove());

  async function compare(line: string): Promise<void> {
    const { ours, theirs } = await bothHere(folders, 'qemu-img', words(line));
    expect(withoutDates(ours)).toEqual(withoutDates(theirs));
  }

  test.each([
    'snapshot',
    'snapshot -l',
    'snapshot -c x',
    'snapshot -d zz a.qcow2',
    'snapshot -a zz a.qcow2',
    'snapshot -l a.qcow2',
    'snapshot -c x r.raw',
    'snapshot -l r.raw',
    'snapshot -d x r.raw',
    'snapshot -l -c x a.qcow2',
    'snapshot -c x -d y a.qcow2',
    "snapshot -c '' a.qcow2",
    'snapshot a.qcow2',
    'snapshot -c x a.qcow2 b.qcow2',
    'snapshot -c x nofile',
    'snapshot -f qcow2 -l a.qcow2',
    'snapshot -q -c t1 a.qcow2',
    'snapshot -c t1 a.qcow2',
    'snapshot -c 12345678901234567890 a.qcow2',
    'snapshot -l a.qcow2',
    'snapshot -q -d t1 a.qcow2',
    'snapshot -d 2 a.qcow2',
    'snapshot -U -l a.qcow2',
    'snapshot -U -c x a.qcow2',
    'snapshot --image-opts -l driver=qcow2,file.filename=a.qcow2',
    'snapshot --image-opts -c f driver=raw,file.driver=qcow2,file.file.filename=a.qcow2',
    'snapshot --image-opts -l driver=raw,file.driver=qcow2,file.file.filename=a.qcow2',
    'snapshot -a 2 a.qcow2',
    'snapshot -L a.qcow2',
    'snapshot -c x narrow.qcow2',
    'snapshot -a one marked.qcow2',
    'convert -l zz s.qcow2 out',
    'convert -l snapshot.foo=1 s.qcow2 out',
    'convert -l snapshot. s.qcow2 out',
    'convert -l snapshot.id=2,snapshot.name=one s.qcow2 out',
    "convert -l '' s.qcow2 out",
    'convert -f raw -l one r.raw out',
    'convert -l one s.qcow2 s.qcow2 out',
  ])('%s', compare);

  test.each([
    'one',
    '1',
    '2',
    'snapshot.id=1',
    'snapshot.name=one',
    'snapshot.name=1',
    'snapshot.id=1,snapshot.name=one',
  ])('convert -l %s reads the same data', async (param) => {
    await compare(`convert -l ${param} -O raw s.qcow2 out.raw`);
    folders.write('their.raw', '');
    await folders.realTool('qemu-img', 'convert', '-l', param, '-O', 'raw', 's.qcow2', 'their.raw');
    const { stdout } = await folders.realTool(
      'qemu-img',
      'compare',
      '-f',
      'raw',
      '-F',
      'raw',
      'out.raw',
      'their.raw',
    );
    expect(stdout).toBe('Images are identical.\n');
  });

  test('an applied snapshot is the disk', async () => {
    await compare('snapshot -a one s.qcow2');
    const { ours, theirs } = await folders.both('qemu-io', ['-r', '-c', 'read -P 1 0 1M', 's.qcow2']);
    expect(ours.stdout).not.toContain('Pattern verification failed');
    expect(theirs.stdout).not.toContain('Pattern verification failed');
    await compare('snapshot -d one s.qcow2');
    const { stdout } = await folders.realTool('qemu-img', 'check', 's.qcow2');
    expect(stdout).toContain('No errors were found on the image.');
  });
});
