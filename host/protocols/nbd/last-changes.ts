/**
 * What is left of changes to a disk when only the last one of each byte counts: pieces of them that do not overlap, and so may be made
 * in any order. Made to a disk that has had all the changes, they change nothing at any moment.
 */
export interface Change {
  /** One of `Command`. */
  readonly command: number;
  /** `CommandFlag`s. */
  readonly flags: number;
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  readonly data: Uint8Array | undefined;
}

/** `changes`: oldest first. Takes little more than the time to sort them. */
export function lastChanges(changes: readonly Change[]): Change[] {
  const ends = new Set(changes.flatMap(({ offset, length }) => [offset, offset + length]));
  const bounds = Float64Array.from(ends).sort();
  const places = new Map([...bounds].map((bound, index) => [bound, index]));
  /** Leads from each stretch between two bounds to one that is left for older changes, perhaps itself, over several steps. */
  const left = Int32Array.from(bounds.keys());
  const nextLeft = (from: number): number => {
    let found = from;
    while (left[found] !== found) found = left[found]!; // it leads to another of them
    for (let at = from; at !== found; ) {
      const next = left[at]!; // as above
      left[at] = found;
      at = next;
    }
    return found;
  };
  const pieces: Change[] = [];
  for (const change of [...changes].reverse()) {
    const { offset, length, data } = change;
    const last = places.get(offset + length)!; // it is a bound, as is its offset
    for (let first = nextLeft(places.get(offset)!); first < last; ) {
      let end = first;
      while (end < last && left[end] === end) left[end] = ++end;
      const [start, stop] = [bounds[first]! - offset, bounds[end]! - offset]; // both are bounds
      pieces.push({
        ...change,
        offset: offset + start,
        length: stop - start,
        data: data?.subarray(start, stop),
      });
      first = nextLeft(end);
    }
  }
  return pieces;
}
