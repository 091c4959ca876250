/**
 * What a failure of a disk means to somebody who has never heard of it, and what may help. What the block layer itself says
 * is shown beside: nothing is hidden by words that are too simple.
 */
import type { FaultReason } from '../base/errors.ts';
import type { FailureInfo } from './answers.ts';

interface FaultWords {
  /** A sentence. */
  readonly what: string;
  /** What to do before the machine goes on. */
  readonly help: string;
}

const titles: Readonly<Record<string, string>> = { 'disk-a': 'Disk A', 'disk-b': 'Disk B', cd: 'The CD' };

/** Of a device of the machine. */
export const diskTitle = (name: string): string => titles[name] ?? `Disk ${name}`;

export const failedDisk = ({ qdev, device, 'node-name': node }: FailureInfo): string =>
  diskTitle(qdev ?? node ?? device);

const byReason: Readonly<Record<FaultReason, FaultWords>> = {
  'content-changed': {
    what: 'The image on the server is not the one any more that this disk was made on.',
    help: 'It goes on when the former image is back on the server. With another one the disk would be damaged.',
  },
  'file-changed': {
    what: 'The file on this computer that the disk was made on was changed, moved or deleted.',
    help: 'Put it back as it was. If that does not help, load this page again and choose the file anew: what the guest wrote is kept.',
  },
  'not-found': {
    what: 'The image that the disk was made on is not on the server any more.',
    help: 'Put it back there, and then try again.',
  },
  'access-denied': {
    what: 'The server does not let this page read the image any more.',
    help: 'You may have to log in there again, and then try again.',
  },
  'server-error': {
    what: 'The server that has the image answers with an error.',
    help: 'That is often over in a moment: try again then.',
  },
  unreachable: {
    what: 'The server that has the image cannot be reached.',
    help: 'Check that this computer is connected and that the server runs, and then try again.',
  },
};

const full: FaultWords = {
  what: 'The browser has no more room for the files of this page.',
  help: 'Delete backups that you do not need, or make room on this computer, and then try again.',
};

/** What is wrong while it is only being tried again. */
export const troubleWords = (reason: FaultReason | undefined): string =>
  reason === undefined ? 'The image does not come.' : byReason[reason].what;

export function faultWords({ nospace, reason, operation }: FailureInfo): FaultWords {
  if (nospace) return full;
  if (reason) return byReason[reason];
  return {
    what: `The disk could not be ${operation === 'read' ? 'read' : 'written'}.`,
    help: 'Try again when the cause is gone.',
  };
}
