/** Where ours answers otherwise to a large number than QEMU does, with the reason. */

export interface Answers {
  /** A command line, or the lines of a conversation. */
  readonly line: string;
  readonly ours: string;
  readonly theirs: string;
}

interface Difference {
  readonly reason: string;
  readonly lines: RegExp;
  /** What the tools answer then. Absent: whatever it is. */
  readonly ours?: RegExp;
  readonly theirs?: RegExp;
  /** How far numbers may be apart in answers that are the same otherwise. Absent: answers may differ in anything. */
  readonly apart?: bigint;
}

const differences: readonly Difference[] = [
  {
    reason: 'QEMU ends with a signal',
    lines: /^/,
    theirs: /^\n|"gone": true/,
  },
  {
    reason: 'options of nodes and arguments of QMP are doubles, and a length is that in whole sectors',
    lines: /^\{|--image-opts|--blockdev|json:/,
    apart: 2048n,
  },
  {
    reason: 'QEMU takes lengths of 2^63 and more for negative numbers, and so for errors or empty disks',
    lines: /null-co/,
    ours: /Could not refresh total sector count: File too large/,
  },
  {
    reason: 'the double next to a length that is just too large is the longest that there is',
    lines: /null-co/,
    theirs: /Could not refresh total sector count: File too large/,
  },
  {
    reason: 'requests end at 2^53',
    lines: /^qemu-(io|img bench)/,
    ours: /failed: Input\/output error/,
    theirs: /ops; TIME|failed: Operation not supported/,
  },
  {
    reason: 'disks in qcow2 end at 2^53, and 2^63 is no negative number',
    lines: /^qemu-img (create|convert|amend|resize) /,
    ours: /The image size is too large for file format 'qcow2'|Failed to grow the L1 table/,
    theirs: /^0|Could not resize image: offset|Image size cannot be negative/,
  },
  {
    reason:
      'what cannot be made leaves no file, and is too large also where QEMU has rounded it to a negative number',
    lines: /^qemu-img (create|convert|dd) /,
    ours: /The image size is too large for file format 'raw'/,
    theirs: /The image size is too large for file format 'raw'|Could not resize file: Invalid argument/,
  },
  {
    reason: 'a length comes to a driver as a double, which beyond 2^53 is in whole sectors often enough',
    lines: /^qemu-img (resize|amend) |^qemu-io .*truncate|block_resize/,
    ours: /Failed to grow the L1 table: File too large/,
    theirs: /The new size must be a multiple of 512/,
  },
  {
    reason: 'of a length that no disk has, QMP tells what the driver says of it',
    lines: /block_resize/,
    theirs: /exceeds maximum\(9223372035781033984\)/,
  },
  {
    reason: 'a latency is a double with a sign',
    lines: /latency-ns/,
    ours: /Invalid parameter type for 'latency-ns'|'latency-ns' expects integer|latency-ns is invalid/,
  },
  {
    reason: 'a size comes to raw as a double, which beyond 2^53 is in whole sectors often enough',
    lines: /raw/,
    theirs: /Specified size is not multiple of 512/,
  },
  {
    reason: 'of two numbers that are too large, which is told first',
    lines: /raw/,
    ours: /is out of range for parameter/,
    theirs: /Could not refresh total sector count/,
  },
  {
    reason: 'what null-co has is there, and is data',
    lines: /^qemu-img (map|measure) .*null-co/,
    ours: /"present": true|^required size: (\d+)\nfully allocated size: \1$/m,
  },
  {
    reason: 'QEMU shows a threshold of 2^63 and more with a sign',
    lines: /query-named-block-nodes/,
    theirs: /"write_threshold": -/,
  },
  {
    reason: 'what has no place in 64 bits is refused by the driver in one way',
    lines: /refcount_bits=|cluster_size=/,
    ours: /Refcount width must be a power of two|Cluster size must be a power of two/,
    theirs: /expects integer|too large; may not exceed/,
  },
];

export function isExplained({ line, ours, theirs }: Answers): boolean {
  return differences.some(
    (one) =>
      one.lines.test(line) &&
      (one.ours?.test(ours) ?? true) &&
      (one.theirs?.test(theirs) ?? true) &&
      (one.apart === undefined || areAlike(ours, theirs, one.apart)),
  );
}

const largeNumbers = /-?\d{16,}/g;

function areAlike(ours: string, theirs: string, apart: bigint): boolean {
  const [our, their] = [ours, theirs].map((text) => (text.match(largeNumbers) ?? []).map(BigInt));
  if (ours.replace(largeNumbers, 'N') !== theirs.replace(largeNumbers, 'N')) return false;
  // As many as those are in equal texts.
  return our!.every((number, i) => {
    const distance = number - their![i]!;
    return distance <= apart && distance >= -apart;
  });
}
