/** What somebody may have meant who mistyped a name: the one that the fewest changes lead to, if those are few. */

/** More than a third of a word is another word. */
const maxShare = 1 / 3;

export function nearest(word: string, names: readonly string[]): string | undefined {
  const started = names.filter((name) => word !== '' && name.startsWith(word));
  if (started.length === 1) return started[0];
  const bound = Math.max(1, Math.floor(word.length * maxShare));
  let best: { name: string; changes: number } | undefined;
  for (const name of names) {
    const changes = changesBetween(word, name);
    if (changes <= bound && changes < (best?.changes ?? Number.POSITIVE_INFINITY)) best = { name, changes };
  }
  return best?.name;
}

/** How many characters have to be put in, left out, replaced, or swapped with their neighbour. */
function changesBetween(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      // Both rows reach to j.
      let changes = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (isSame ? 0 : 1));
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwapped) changes = Math.min(changes, beforeLast[j - 2]! + 1); // it is as long
      row.push(changes);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!; // it has one more than b
}

/** For the end of a sentence about a word that is none of `names`: a question, when one of them is near. */
export function didYouMean(word: string, names: readonly string[]): string {
  const near = nearest(word, names);
  return near === undefined ? '' : `. Did you mean '${near}'?`;
}
