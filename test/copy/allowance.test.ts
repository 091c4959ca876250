import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Allowance, maxAllowedBytes, minAllowedBytes } from '../../host/copy/allowance.ts';

const windows = fc.array(fc.boolean(), { maxLength: 600 });

/** What guests have felt in each window: true where they have suffered. */
function allowanceAfter(suffered: readonly boolean[]): Allowance {
  const allowance = new Allowance();
  allowance.guestsCame();
  for (const suffers of suffered) {
    if (suffers) allowance.guestsSuffer();
    else allowance.guestsDoWell();
  }
  return allowance;
}

describe('what copies may take beside guests', () => {
  it('is never less than a twentieth of the time, and the least in flight', () => {
    fc.assert(
      fc.property(windows, (suffered) => {
        const { turnNs, pauseNs, bytes } = allowanceAfter(suffered);
        expect(pauseNs).toBeLessThanOrEqual(20 * turnNs);
        expect(bytes).toBeGreaterThanOrEqual(minAllowedBytes);
        expect(bytes).toBeLessThanOrEqual(maxAllowedBytes);
      }),
    );
  });

  it('is at once less for guests that suffer', () => {
    fc.assert(
      fc.property(windows, (suffered) => {
        const before = allowanceAfter(suffered);
        const { pauseNs, bytes } = allowanceAfter([...suffered, true]);
        expect(pauseNs > before.pauseNs || pauseNs === 20 * before.turnNs).toBe(true);
        expect(bytes < before.bytes || bytes === minAllowedBytes).toBe(true);
      }),
    );
  });

  it('is everything in the end, where guests do well from some moment on', () => {
    fc.assert(
      fc.property(windows, (suffered) => {
        const { pauseNs, bytes } = allowanceAfter([...suffered, ...Array<boolean>(7 * 512).fill(false)]);
        expect([pauseNs, bytes]).toEqual([0, maxAllowedBytes]);
      }),
    );
  });

  it('forgets guests that rest', () => {
    fc.assert(
      fc.property(windows, (suffered) => {
        const allowance = allowanceAfter(suffered);
        allowance.guestsRest();
        expect(allowance).toEqual(new Allowance());
      }),
    );
  });
});
