/** What is wrong with a line of the human monitor: it is shown as it is, and not as an error. */
export class LineError extends Error {
  override readonly name = 'LineError';

  /** `lineBreak`: what stands behind the message when more follows. */
  constructor(
    message: string,
    readonly lineBreak = '\n',
  ) {
    super(message);
  }
}
