/** Integers that a double may not hold. */

/** A number where that is exact, and the bigint elsewhere. */
export function exactInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
