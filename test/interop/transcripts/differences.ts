/**
 * Where our transcripts are allowed to differ from QEMU's, with the reason: by scenario, what to change in QEMU's
 * messages so that they are as ours. Nothing else may differ.
 */
import type { Message } from '../../support/qmp-sessions.ts';

export interface Difference {
  readonly scenario: string;
  readonly reason: string;
  /** From what QEMU said to what we say. */
  readonly adapt: (transcript: readonly Message[]) => Message[];
}

export const differences: readonly Difference[] = [];
