/** How a tool ends from anywhere in it: with this exit status; whatever there was to say has been printed. */
export class ExitStatus extends Error {
  override readonly name = 'ExitStatus';

  constructor(readonly status: number) {
    super(`exit ${status}`);
  }
}
