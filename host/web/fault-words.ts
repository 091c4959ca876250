/**
 * What a failure of a disk means to somebody who has never heard of it, and what may help. What the block layer itself says
 * is shown beside: nothing is hidden by words that are too simple.
 */
import type { FailureInfo } from './answers.ts';

interface FaultWords {
  /** A sentence. */
  readonly what: string;
  /** What to do before the machine goes on. */
  readonly help: string;
}

const letters: Readonly<Record<string, string>> = { 'disk-a': 'Disk A', 'disk-b': 'Disk B' };

export function diskTitle({ qdev, device, 'node-name': node }: FailureInfo): string {
  const name = qdev ?? node ?? device;
  return letters[name] ?? `Disk ${name}`;
}

/** The first that fits. */
const known: readonly (readonly [RegExp, FaultWords])[] = [
  [
    /The file on the server has changed|Server does not support 'range' any more|Got another range/,
    {
      what: 'The image on the server is not the one any more that this disk was made on.',
      help: 'It goes on when the former image is back on the server. With another one the disk would be damaged.',
    },
  ],
  [
    /was changed, moved or deleted after it was chosen/,
    {
      what: 'The file on this computer that the disk was made on was changed, moved or deleted.',
      help: 'Put it back as it was. If that does not help, load this page again and choose the file anew: what the guest wrote is kept.',
    },
  ],
  [
    /returned error: (404|410)/,
    {
      what: 'The image that the disk was made on is not on the server any more.',
      help: 'Put it back there, and then try again.',
    },
  ],
  [
    /returned error: (401|403)/,
    {
      what: 'The server does not let this page read the image any more.',
      help: 'You may have to log in there again, and then try again.',
    },
  ],
  [
    /returned error: \d/,
    {
      what: 'The server that has the image answers with an error.',
      help: 'That is often over in a moment: try again then.',
    },
  ],
  [
    /Failed to fetch|NetworkError|Load failed|network error|timed out|Got \d+ of \d+ bytes/i,
    {
      what: 'The server that has the image cannot be reached.',
      help: 'Check that this computer is connected and that the server runs, and then try again.',
    },
  ],
];

const full: FaultWords = {
  what: 'The browser has no more room for the files of this page.',
  help: 'Delete backups that you do not need, or make room on this computer, and then try again.',
};

export function faultWords({ nospace, message, operation }: FailureInfo): FaultWords {
  if (nospace) return full;
  const found = known.find(([pattern]) => pattern.test(message));
  return (
    found?.[1] ?? {
      what: `The disk could not be ${operation === 'read' ? 'read' : 'written'}.`,
      help: 'Try again when the cause is gone.',
    }
  );
}
