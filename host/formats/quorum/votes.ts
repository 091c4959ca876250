/**
 * Votes: which of several answers most children of a quorum agree on (specification: graph, section 5).
 */
import { firstDifference } from '../../base/difference.ts';
import type { BlockError } from '../../base/errors.ts';

interface Version<T> {
  /** The first answer of this kind. */
  readonly answer: T;
  readonly votes: readonly T[];
}

/** Answers by what they say, in the order in which each kind came first. */
export function countVotes<T>(answers: readonly T[], isSame: (a: T, b: T) => boolean): Version<T>[] {
  const versions: { answer: T; votes: T[] }[] = [];
  for (const answer of answers) {
    const known = versions.find((version) => isSame(version.answer, answer));
    if (known) known.votes.push(answer);
    else versions.push({ answer, votes: [answer] });
  }
  return versions;
}

/** The kind with most votes; of equals the one that came last. */
export function winnerOf<T>(versions: readonly Version<T>[]): Version<T> {
  return versions.reduce((best, version) => (version.votes.length >= best.votes.length ? version : best));
}

export function isSameData(a: { data: Uint8Array }, b: { data: Uint8Array }): boolean {
  return firstDifference(a.data, b.data) < 0;
}

/** The error that most children failed with. At least one did. */
export function commonError(failures: readonly BlockError[]): BlockError {
  return winnerOf(countVotes(failures, (a, b) => a.errno === b.errno)).answer;
}
