/** Where our tools are allowed to answer otherwise, with the reason. Contents and lengths are never among it. */
import type { Outcome } from '../../support/cli.ts';
import type { Step } from './case.ts';

interface Difference {
  reason: string;
  applies(step: Step, theirs: Outcome, ours: Outcome): boolean;
  /** What of theirs is expected of ours; 'give up': nothing that follows can be compared. */
  adapt(theirs: Outcome, ours: Outcome): Outcome | 'give up';
}

const differences: readonly Difference[] = [
  {
    reason: 'QEMU aborts',
    applies: (_step, { status, stderr }) => status === null || /Unexpected error in|Assertion/.test(stderr),
    adapt: () => 'give up',
  },
  {
    reason: 'which clusters a write through compress has written when one of them fails is a matter of order',
    applies: ({ args, commands = [] }, { stdout }) =>
      / failed: /.test(stdout) && [...args, ...commands].some((word) => word.includes('compress')),
    adapt: () => 'give up',
  },
  {
    reason: 'of two reasons against a preallocate filter, which is told first',
    applies: ({ args, commands = [] }, theirs, ours) =>
      theirs.status === 1 &&
      ours.status === 1 &&
      [...args, ...commands].some((word) => /driver"?[=:]"?preallocate/.test(word)) &&
      /prealloc-/.test(`${theirs.stderr.split(': ').at(-1)}${ours.stderr.split(': ').at(-1)}`),
    adapt: (_theirs, ours) => ours,
  },
  {
    reason:
      'zeros that must not be data fail in a quorum of QEMU when one of its children needs data for them',
    applies: ({ args, commands = [] }, { stdout }) =>
      commands.some((command) => command.startsWith('write -z -n')) &&
      [...args, ...commands].some((word) => word.includes('quorum')) &&
      stdout.includes('Operation not supported'),
    adapt: () => 'give up',
  },
  {
    reason: 'QEMU reserves space only behind the end of the file, which may lie behind all clusters',
    applies: (_step, { stderr }) => stderr.includes('Cannot use preallocation for shrinking files'),
    adapt: () => 'give up',
  },
  {
    reason: 'QEMU opens an image again and warns again that its format was not named',
    applies: ({ args: [command] }) => command === 'snapshot',
    adapt: (theirs) => ({ ...theirs, stderr: withoutRepeatedWarnings(theirs.stderr) }),
  },
];

/** Said once for each time that QEMU opens the image. */
function withoutRepeatedWarnings(stderr: string): string {
  const warning = /(?:WARNING: Image format .*\n.*\n.*(?:\n|$))/g;
  const seen = new Set<string>();
  return stderr.replace(warning, (text) => {
    const isNew = !seen.has(text);
    seen.add(text);
    return isNew ? text : '';
  });
}

/** What ours should have answered. */
export function adapted(step: Step, theirs: Outcome, ours: Outcome): Outcome | 'give up' {
  let expected = theirs;
  for (const { applies, adapt } of differences) {
    if (!applies(step, expected, ours)) continue;
    const next = adapt(expected, ours);
    if (next === 'give up') return next;
    expected = next;
  }
  return expected;
}
