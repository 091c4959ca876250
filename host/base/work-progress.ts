/**
 * How far some work is: bytes (or steps) done, and how many there are altogether. What there is may become more or less on
 * the way, as guests write.
 */
export class WorkProgress {
  private done = 0;
  private expected = 0;

  get current(): number {
    return this.done;
  }

  get total(): number {
    return this.expected;
  }

  /** So much there is altogether. */
  expect(total: number): void {
    this.expected = total;
  }

  expectMore(bytes: number): void {
    this.expected += bytes;
  }

  expectLess(bytes: number): void {
    this.expected -= bytes;
  }

  advance(bytes: number): void {
    this.done += bytes;
  }
}
