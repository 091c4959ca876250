/**
 * The polynomial of a repository's config (specification: store, section 2): over GF(2), of degree 53, irreducible. blockyard cuts
 * at fixed places and does not use it; restic does when it writes to the same repository, and refuses one that can be factored.
 *
 * Polynomials are numbers of 54 bits: bit i is the coefficient of x^i.
 */
import type { Random } from '../platform/platform.ts';

const degree = 53n;
const x = 2n;

/** One drawn at random. Of those with a constant term about one in 27 is irreducible. */
export function drawPolynomial(random: Random): string {
  for (;;) {
    const [high, low] = [random.below(1 << 21), random.below(2 ** 32)];
    const candidate = (1n << degree) | (BigInt(high) << 32n) | BigInt(low) | 1n;
    if (isIrreducible(candidate)) return candidate.toString(16);
  }
}

/** Rabin's test, of a polynomial of degree 53, which is prime. */
export function isIrreducible(polynomial: bigint): boolean {
  let power = x;
  for (let i = 0n; i < degree; i++) power = remainder(square(power), polynomial);
  return power === x && gcd(remainder(square(x), polynomial) ^ x, polynomial) === 1n;
}

/** The coefficients with zeros between them: (a + b)² = a² + b² where 2 = 0. */
function square(polynomial: bigint): bigint {
  let result = 0n;
  for (let i = 0n; polynomial >> i > 0n; i++) if ((polynomial >> i) & 1n) result |= 1n << (2n * i);
  return result;
}

function degreeOf(polynomial: bigint): number {
  return polynomial.toString(2).length - 1;
}

function remainder(dividend: bigint, divisor: bigint): bigint {
  let left = dividend;
  while (left > 0n && degreeOf(left) >= degreeOf(divisor))
    left ^= divisor << BigInt(degreeOf(left) - degreeOf(divisor));
  return left;
}

function gcd(a: bigint, b: bigint): bigint {
  return b === 0n ? a : gcd(b, remainder(a, b));
}
