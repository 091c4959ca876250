import { createHash } from 'node:crypto';
import { fc, test } from '@fast-check/vitest';
import { expect, it } from 'vitest';
import { Sha256, sha256 } from '../../host/base/sha256.ts';

const known = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const ours = (bytes: Uint8Array): string => Buffer.from(sha256(bytes)).toString('hex');

test.prop([fc.uint8Array({ maxLength: 300 })])('sha256 is what everybody else computes', (bytes) => {
  expect(ours(bytes)).toBe(known(bytes));
});

test.prop([fc.array(fc.uint8Array({ maxLength: 150 }), { maxLength: 8 })])(
  'sha256 of parts is that of all of them in a row',
  (parts) => {
    const hash = new Sha256();
    for (const part of parts) hash.update(part);
    expect(Buffer.from(hash.digest()).toString('hex')).toBe(known(Buffer.concat(parts)));
  },
);

it('pads right at the end of a block', () => {
  for (const length of [0, 55, 56, 63, 64, 65, 119, 120, 128]) {
    const bytes = new Uint8Array(length).fill(length);
    expect(ours(bytes)).toBe(known(bytes));
  }
});
