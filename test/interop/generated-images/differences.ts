/** Where our tools are allowed to answer otherwise about a generated image, with the reason. */
import type { Outcome } from '../../support/cli.ts';

interface Difference {
  readonly reason: string;
  explains(line: readonly string[], theirs: Outcome, ours: Outcome): boolean;
}

const stripped = (text: string, pattern: RegExp): string => text.replace(pattern, '').trimEnd();

/** Equal but for what `pattern` finds in the errors of both. */
function equalWithout(pattern: RegExp): Difference['explains'] {
  return (_line, theirs, ours) =>
    theirs.status === ours.status &&
    theirs.stdout === ours.stdout &&
    stripped(theirs.stderr, pattern) === stripped(ours.stderr, pattern);
}

/** Ours fails, with these words. */
function refused(words: RegExp): Difference['explains'] {
  return (_line, _theirs, ours) => ours.status !== 0 && words.test(ours.stderr);
}

const isCheck = ([command]: readonly string[]): boolean => command === 'check';

const differences: readonly Difference[] = [
  {
    reason:
      'ours refuses what QEMU misreads, or could not write back (specification: qcow2, sections 1.2 and 1.5)',
    explains: refused(
      /Duplicate header extension|contains a NUL byte|header length is not a multiple of 8|Invalid backing file offset/,
    ),
  },
  {
    reason: 'no file is so long that it has a table behind 2^53 bytes',
    explains: refused(/(Active L1|Reference count|Snapshot) table offset invalid|directory offset/),
  },
  {
    reason: 'there is no such format or protocol here, and what an image needs for its data is not done',
    explains: refused(
      /Images in format 'qcow'|Unknown protocol '(nbd|fat)'|(Encrypted qcow2 images|qcow2 images with [a-zA-Z2 ]*) are not supported/,
    ),
  },
  {
    reason: 'ours checks an image whose backing file is not there, or whose bitmaps cannot be read',
    explains: (line, theirs, ours) =>
      isCheck(line) &&
      theirs.status === 1 &&
      /Could not open backing file|[Bb]itmap/.test(theirs.stderr) &&
      ours.status !== 1,
  },
  {
    reason:
      'of what is wrong in one image, ours walks no tables that cannot be right, and tells it in another order',
    explains: (line, theirs, ours) =>
      isCheck(line) && theirs.status !== 0 && ours.status !== 0 && !/Could not open/.test(ours.stderr),
  },
  {
    reason: 'ours asks for refcounts only where there can be holes in the data',
    explains: equalWithout(/^qcow2: Image is corrupt: Refblock offset .*\n?/gm),
  },
  {
    reason: 'in a table, a name that is not UTF-8 takes as much room as what is shown for it',
    explains: (_line, theirs, ours) =>
      theirs.stdout.includes('\ufffd') &&
      theirs.stdout.replaceAll(/ +/g, ' ') === ours.stdout.replaceAll(/ +/g, ' '),
  },
  {
    reason: 'one text says for both versions that bitmaps are of no use; and QEMU forgets to end its line',
    explains: equalWithout(
      /^qemu-img: warning: (a program lacking bitmap support|This qcow2 v2 image contains bitmaps).*\nSome clusters may be leaked, run 'qemu-img check -r' on the image file to fix\.\n?/gm,
    ),
  },
];

export function isExplained(line: readonly string[], theirs: Outcome, ours: Outcome): boolean {
  return differences.some((difference) => difference.explains(line, theirs, ours));
}
