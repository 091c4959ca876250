/** Commands about what is watched. */
import { BlockError } from '../../base/errors.ts';
import type { CommandContext } from '../../qmp/command.ts';
import { type Arguments, type HmpCommand, optionalWord, qmp, silently, word } from './command.ts';

/** Of no account, as in QEMU: no event belongs to a processor. */
const processor = { name: 'vcpu', kind: 'int32', optional: true } as const;

/** QEMU shows errors of these without a word in front. */
async function plainly(act: () => Promise<string>): Promise<string> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    return `${error.message}\n`;
  }
}

async function listEvents(context: CommandContext, { name = '*' }: Arguments): Promise<string> {
  const found = await qmp(context, 'trace-event-get-state', { name });
  return (found as { name: string; state: string }[])
    .map(({ name, state }) => `${name} : state ${state === 'enabled' ? 1 : 0}\n`)
    .join('');
}

export const traceCommands: readonly HmpCommand[] = [
  {
    name: 'trace-event',
    parameters: [word('name'), { name: 'option', kind: 'switch' }, processor],
    usage: 'name on|off [vcpu]',
    help: 'changes status of a specific trace event (vcpu: vCPU to set, default is all)',
    run: (context, { name, option }) =>
      plainly(() => silently(context, 'trace-event-set-state', { name, enable: option })),
  },
  {
    name: 'info trace-events',
    parameters: [optionalWord('name'), processor],
    usage: '[name] [vcpu]',
    help: 'show available trace-events & their state (name: event name pattern; vcpu: vCPU to query, default is any)',
    run: (context, args) => plainly(() => listEvents(context, args)),
  },
];
