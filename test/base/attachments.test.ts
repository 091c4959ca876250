import { expect, test } from 'vitest';
import { AttachmentKey, Attachments } from '../../host/base/attachments.ts';

test('what is kept with an object is made once for each owner and key', () => {
  const notes = new AttachmentKey((owner: { name: string }) => [`of ${owner.name}`]);
  const counts = new AttachmentKey((_owner: { name: string }) => ({ count: 0 }));
  const [a, b] = ['a', 'b'].map((name) => new Attachments({ name }));
  expect(a!.has(notes)).toBe(false);
  a!.get(notes).push('more');
  a!.get(counts).count++;
  expect(a!.has(notes)).toBe(true);
  expect(b!.has(notes)).toBe(false);
  expect([a!.get(notes), b!.get(notes)]).toEqual([['of a', 'more'], ['of b']]);
  expect([a!.get(counts).count, b!.get(counts).count]).toEqual([1, 0]);
});

test('what was made to be nothing is not made again', () => {
  let made = 0;
  const key = new AttachmentKey((_owner: object): undefined => void made++);
  const attachments = new Attachments({});
  attachments.get(key);
  attachments.get(key);
  expect(made).toBe(1);
});
