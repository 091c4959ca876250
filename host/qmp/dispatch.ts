/**
 * From a request to its outcome: finds the command, checks the arguments, runs it (specification: qmp-protocol,
 * sections 3 and 5). An operating error is an outcome; anything else that is thrown is a bug and goes on.
 */
import { asBlockError, BlockError, invalid } from '../base/errors.ts';
import { checkStrict } from '../qapi/strict.ts';
import type { Command, CommandContext, CommandTable } from './command.ts';
import { type Request, readRequest } from './incoming-command.ts';
import type { Incoming, Outcome, QmpProtocol } from './protocol.ts';

/** The one command there is before negotiation. */
const negotiation = 'qmp_capabilities';

export async function dispatch(context: CommandContext, incoming: Incoming): Promise<Outcome> {
  if ('error' in incoming) return incoming;
  try {
    const request = readRequest(incoming.value, context.session);
    const { run, args } = find(context.commands, request, context.session);
    return { return: await run(context, checkStrict(args, request.arguments) as object) };
  } catch (error) {
    return { error: asBlockError(error) };
  }
}

function find(commands: CommandTable, { command, outOfBand }: Request, session: QmpProtocol): Command {
  if (!session.isNegotiated && command !== negotiation) {
    throw notFound(`Expecting capabilities negotiation with '${negotiation}'`);
  }
  const found = commands.find(command);
  if (!found) throw notFound(`The command ${command} has not been found`);
  // Nothing here needs to overtake, and so nothing may.
  if (outOfBand) throw invalid(`The command ${command} does not support OOB`);
  return found;
}

function notFound(message: string): BlockError {
  return new BlockError('EINVAL', message, { class: 'CommandNotFound' });
}
