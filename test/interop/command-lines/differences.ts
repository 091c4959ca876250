/** Where our tools are allowed to answer otherwise than the real ones, and their files may differ, with the reason. */
import type { Outcome } from '../../support/cli.ts';

interface Difference {
  readonly reason: string;
  /** The lines that it is about. */
  readonly lines: RegExp;
  /** What the tools answer then: status and output, in a line each. Absent: whatever it is. */
  readonly ours?: RegExp;
  readonly theirs?: RegExp;
  /** What of both answers is compared. Absent: all. */
  seen?(outcome: Outcome): Outcome;
  /** How files may differ after such a line. Absent: not at all. */
  readonly files?: RegExp;
  /** The real tool has made what it does not come to the end of: its files are not looked at. */
  readonly isEndless?: true;
}

/** Without what `pattern` finds in its output. */
function without(pattern: RegExp): (outcome: Outcome) => Outcome {
  const mask = (text: string): string => text.replace(pattern, 'MASKED');
  return ({ status, stdout, stderr }) => ({ status, stdout: mask(stdout), stderr: mask(stderr) });
}

const nothing = (): Outcome => ({ status: 0, stdout: '', stderr: '' });
const anyFile = /^/;

const differences: readonly Difference[] = [
  {
    reason: 'QEMU crashes, or does not come to an end',
    lines: /^/,
    theirs: /^null/,
    seen: nothing,
    files: anyFile,
  },
  {
    reason: 'free clusters are taken from where each tool finds them',
    lines: /^map /,
    seen: without(/(?<=^0x\w+ +0x\w+ +|^0 +0x\w+ +)0x\w+|(?<="offset": )\d+/gm),
  },
  {
    reason: 'tables of zeroes are holes in ours, and a file ends where its last cluster does',
    lines: /^info /,
    seen: without(
      /(?<=disk size: ).*|(?<="actual-size": )\d+|(?<="virtual-size": )\d+|(?<=file length: ).*/g,
    ),
  },
  {
    reason: 'how often progress is told, and whether at the end of a failure',
    lines: /^(amend|commit|compare|convert|rebase) .*(-\w*p|--p)/,
    seen: without(/[ \r\n]*(\([\d.]+\/100%\)[ \r\n]*)+/g),
  },
  {
    reason: 'ours does not tell in which entry of which table it found the damage',
    lines: /^/,
    seen: without(/(?<=unaligned)( \(L2 offset: 0x\w+, L2 index: \w+\))?/),
  },
  {
    reason: 'QEMU takes a raw image for one that holds another, opens it once more, and warns a second time',
    lines: /^snapshot .*(-a|--a)/,
    theirs: /^(WARNING: Image format .*\n(?: {9}.*\n)+)\1/m,
    seen: ({ status, stdout, stderr }) => ({
      ...{ status, stdout },
      stderr: stderr.replace(/^(WARNING: Image format .*\n(?: {9}.*\n)+)\1/, '$1'),
    }),
  },
  {
    reason: 'ours has an option more',
    lines: /^convert .*--/,
    seen: without(/ '--atomic'/),
  },
  {
    reason: 'bitmaps go with the version that has them: QEMU leaves their clusters behind as leaks',
    lines: /^check marked\.qcow2$/,
    seen: nothing,
  },
  {
    reason: 'bitmaps go with the version that has them: QEMU leaves their clusters behind as leaks',
    lines: /^amend .*compat=(0\.10|v2)/,
    files: /^\S*marked\.qcow2: check says/,
  },
  {
    reason: 'ours keeps bitmaps of raw images beside them',
    lines: /^bitmap .*--a/,
    theirs: /Can't store persistent bitmaps to #block: Operation not supported/,
    seen: nothing,
    files: /\.bitmaps is only in ours$/,
  },
  {
    reason: 'ours checks an image whose backing file is not there',
    lines: /^check /,
    ours: /^0/,
    theirs: /^1\n.*\n.*Could not open backing file/,
    seen: nothing,
  },
  {
    reason: 'ours does not take a character device for an empty disk, or for one to write to',
    lines: /\bnull$|\bnull\b |\/dev\/null$/,
    ours: /requires '(null|\/dev\/null)' to be a block device/,
    seen: nothing,
    files: /^\S+ is missing$/,
  },
  {
    reason: 'ours refuses a backing file without a format before it copies anything',
    lines: /^rebase /,
    theirs: /Could not change the backing file to '.*': backing format must be specified/,
    files: /^\S+(: check says| is \d)/,
  },
  {
    reason: 'ours refuses a backing file without a format before it reads anything',
    lines: /^rebase .*broken\.qcow2/,
    ours: /Could not change the backing file to '.*': backing format must be specified/,
    theirs: /error while reading from/,
    seen: nothing,
  },
  {
    reason: 'ours makes no chain that leads back to itself',
    lines: /^rebase .*(-\w*u|--backing-u|-\w*U|--fo)/,
    ours: /^1\n.*\n.*creates an infinite loop/,
    theirs: /^0/,
    seen: nothing,
    isEndless: true,
  },
  {
    reason: 'ours changes nothing of an image in which it finds clusters that are not aligned',
    lines: /^(amend|resize) .*broken\.qcow2/,
    ours: /Marking image as corrupt: Data cluster offset 0x70200/,
    theirs: /Cannot free unaligned/,
    seen: nothing,
    files: /^broken\.qcow2/,
  },
  {
    reason: 'a snapshot that cannot be taken leaves nothing behind in ours',
    lines: /^snapshot .*vast\.qcow2/,
    theirs: /Could not create snapshot '.*': Invalid argument/,
    files: /^vast\.qcow2: check says No errors/,
  },
  {
    reason: 'ours looks at what a new image is to be before it makes a file, and so empties one',
    lines: /^(convert|create|dd) /,
    ours: /^1/,
    theirs: /Could not create '.*': (Not a directory|No such file or directory)/,
    seen: nothing,
  },
  {
    reason: 'ours looks at what a new image is to be before it looks for one that is in use',
    lines: /^create .*--backing-f.*locked/,
    ours: /Backing format cannot be used without backing file/,
    theirs: /Failed to get "write" lock/,
    seen: ({ status, stdout }) => ({ status, stdout, stderr: '' }),
  },
  {
    reason: 'of several options that an image has no place for, which is told is chance in QEMU',
    lines: /backing\.driver=/,
    ours: /does not support the option 'backing\./,
    theirs: /does not support the option 'backing\./,
    seen: without(/the option '[^']*'/g),
  },
  {
    reason:
      'QEMU takes what has the name of an image in the chain for that image, also in another format, and copies nothing',
    lines: /^rebase .*(-F|--backing-f\w*)[= ]?(raw|file)/,
    theirs: /^0/,
    files: /^\S+(: check says| is \d|: Content mismatch)/,
  },
  {
    reason: 'QEMU takes what has the name of an image in the chain for that image, whatever its format',
    lines: /^rebase .*(-F|--backing-f)/,
    ours: /Could not open new backing file '.*': Image is not in/,
    theirs: /^0/,
    seen: nothing,
    files: anyFile,
  },
  {
    reason:
      'what cannot be made in whole leaves no file, and what was there stays when nothing can be made in its place',
    lines: /^(convert|create|dd) /,
    theirs: /^1/,
    files: anyFile,
  },
  {
    reason: 'ours looks at the cache mode of the target before it makes the target',
    lines: /^convert .*(-t|--output-c)/,
    ours: /Invalid cache option/,
    seen: nothing,
    files: /^\S+ is missing$/,
  },
  {
    reason:
      'there are no drivers for these formats, and no external data files or extended L2 entries, and not all ciphers',
    lines: /vdi|vhdx|luks|data_file|extended_l2|encrypt|data-file/,
    ours: /Unknown (driver|file format) '(vdi|vhdx)'|Unknown file format$|Invalid format name|Parameter 'backing-fmt'|not supported|data-file/,
    seen: nothing,
    files: /^\S+ is missing$/,
  },
  {
    reason: 'there are not all types of objects',
    lines: /--ob?j?e?c?t?[= ]/,
    ours: /object type '\S+' is not supported|^0\nList of user creatable objects/,
    seen: nothing,
  },
  {
    reason: 'the long options of snapshot take no argument in QEMU, whatever its help says',
    lines: /^snapshot .*--[acd]/,
    theirs:
      /doesn't allow an argument|Expecting one image file name|Must specify either driver or file|Could not open/,
    seen: nothing,
    files: /^\S+(: Content mismatch|: check says| is \d)/,
  },
  {
    reason: 'of two mistakes in what opens an image, which is told first',
    lines: /quorum|"zz"|-F file|x-iops-total-max/,
    ours: /^[12]\n/,
    theirs: /^[12]\n/,
    seen: ({ status }) => ({ status, stdout: '', stderr: '' }),
  },
  {
    reason: 'sizes are doubles, for which the largest number of 64 bits is 2^64',
    lines: /18446744073709551615/,
    ours: /^[12]\n/,
    theirs: /^[12]\n/,
    seen: ({ status }) => ({ status, stdout: '', stderr: '' }),
  },
  {
    reason:
      'what a disk loses by its new end does not come back when it grows: in QEMU it does where it was compressed',
    lines: /^(amend|resize) .*(packed|zstd)\.qcow2/,
    theirs: /^0/,
    files: /^(packed|zstd)\.qcow2(: check says| is )/,
  },
  {
    reason: 'an L1 table of more clusters than a refcount block describes begins where the next one does',
    lines: /^(amend|resize) .*(wide|tiny)\.qcow2/,
    theirs: /^0/,
    files: /^(wide|tiny)\.qcow2 is /,
  },
];

/** A line, and what both tools answered. */
export interface Answers {
  readonly line: string;
  readonly ours: Outcome;
  readonly theirs: Outcome;
}

function applying({ line, ours, theirs }: Answers): Difference[] {
  const says = (outcome: Outcome, pattern: RegExp | undefined): boolean =>
    pattern?.test(`${outcome.status}\n${outcome.stdout}\n${outcome.stderr}`) ?? true;
  return differences.filter(
    (one) => one.lines.test(line) && says(ours, one.ours) && says(theirs, one.theirs),
  );
}

/** What of both is compared. */
export function compared(answers: Answers): { ours: Outcome; theirs: Outcome } {
  const seen = (outcome: Outcome): Outcome =>
    applying(answers).reduce((rest, difference) => difference.seen?.(rest) ?? rest, outcome);
  return { ours: seen(answers.ours), theirs: seen(answers.theirs) };
}

/** Whether nobody should look at the files of the real tool. */
export function isEndless(answers: Answers): boolean {
  return applying(answers).some((one) => one.isEndless);
}

/** Whether the files may differ so. */
export function isKnown(answers: Answers, difference: string): boolean {
  return applying(answers).some(({ files }) => files?.test(difference));
}

export interface Shape {
  readonly bytes: number;
  /** What it takes of the disk. */
  readonly allocated: number;
  /** Of a qcow2 image. */
  readonly clusterBytes?: number;
}

const page = 4096;

/**
 * Where free clusters are taken from, and so where an image ends, is each tool's own; tables of zeroes are holes in ours, where the
 * real tools write them, and so is what is zero in a cluster that is written in part. All of that is a matter of a few clusters,
 * and ours may take less.
 */
export function isExplained(ours: Shape, theirs: Shape): boolean {
  if (theirs.clusterBytes === undefined)
    return ours.bytes === theirs.bytes && Math.abs(ours.allocated - theirs.allocated) <= page;
  const few = Math.max(4 * theirs.clusterBytes, 72 * page);
  return Math.abs(ours.bytes - theirs.bytes) <= few && ours.allocated - theirs.allocated <= few;
}
