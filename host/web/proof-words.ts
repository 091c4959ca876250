/** What was proven of a copy, in words: no more than was read and measured. */
import { grouped } from './format.ts';
import type { Backup, Proof, Restored } from './session.ts';

export interface Words {
  readonly text: string;
  /** It is not what one has a right to expect. */
  readonly isBad: boolean;
}

export function backupWords({ proof, longestWaitMs }: Backup): Words {
  const instant = proof
    ? proofWords(proof)
    : { text: 'Both disks were copied as of one instant', isBad: false };
  return { text: `${instant.text}${waitWords(longestWaitMs)}.`, isBad: instant.isBad };
}

export function restoredWords({ number, proof }: Restored): Words {
  const begin = `The disks are as they were in backup ${number}`;
  if (!proof) return { text: `${begin}.`, isBad: false };
  const { text, isBad } = proofWords(proof);
  return { text: `${begin}, read again before the machine started: ${text}.`, isBad };
}

function proofWords({ records: [a, b], violations }: Proof): Words {
  if (violations > 0) {
    return { text: `Disk A and disk B contradict each other in ${grouped(violations)} records`, isBad: true };
  }
  const found =
    a === b ? `record ${grouped(a)} on both` : `record ${grouped(b)} on both, and ${grouped(a)} begun on A`;
  return { text: `disk A and disk B show one instant: ${found}`, isBad: false };
}

function waitWords(ms: number | null | undefined): string {
  if (ms === undefined) return '';
  return ms === null
    ? '; the guest has waited more than a minute for a request'
    : `; the guest never waited more than ${grouped(ms)} ms`;
}
