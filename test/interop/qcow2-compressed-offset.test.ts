import { afterAll, expect, test } from 'vitest';
import { RawImage } from '../sim/raw-qcow2.ts';
import { TwoFolders } from '../support/cli.ts';
import { haveQemu } from '../support/tools.ts';

const folders = haveQemu ? new TwoFolders() : undefined;
afterAll(() => folders?.remove());

test.skipIf(!haveQemu)(
  'a compressed descriptor of small clusters with a bit above its offset leads nowhere, as in QEMU',
  async () => {
    const tools = folders!; // not skipped
    tools.prepare('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', 'disk', '1M');
    tools.prepare('qemu-io', '-c', 'write -c -P 7 0 512', '-c', 'write -c -P 8 512 512', 'disk');
    tools.patch('disk', (bytes) => {
      const image = new RawImage(bytes);
      const second = Number(image.entry(image.l1.offset) & 0x00fffffffffffe00n) + 8;
      image.view.setBigUint64(second, image.entry(second) | (1n << 57n));
      return bytes;
    });
    const check = await tools.both('qemu-img', ['check', 'disk']);
    expect(check.ours).toEqual(check.theirs);
    expect(check.theirs.stderr).toContain('offset 0x2000000000');
    const io = await tools.both('qemu-io', [
      ...['-c', 'read -P 7 0 512', '-c', 'read 512 512'],
      ...['-c', 'write -P 9 512 512', '-c', 'read -P 9 512 512', 'disk'],
    ]);
    expect(io.ours).toEqual(io.theirs);
    expect(io.theirs.stdout).toContain('read failed: Input/output error');
  },
);
