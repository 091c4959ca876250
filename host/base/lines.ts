/**
 * Bytes as whole lines of text, however they were cut on their way: also within a character.
 *
 * A line comes without its LF; a CR before that stays. What follows the last LF is kept until its own arrives, so whoever
 * reads from a peer that is not to be trusted looks at `unfinishedLength`.
 */
export class Lines {
  private rest = '';
  private readonly decoder = new TextDecoder();

  /** The lines that `bytes` brings to their ends, in order. */
  take(bytes: Uint8Array): string[] {
    const [first = '', ...more] = this.decoder.decode(bytes, { stream: true }).split('\n');
    const lines = [this.rest + first, ...more];
    this.rest = lines.pop() ?? '';
    return lines;
  }

  /** UTF-16 units of the line that has begun and not ended. */
  get unfinishedLength(): number {
    return this.rest.length;
  }
}
