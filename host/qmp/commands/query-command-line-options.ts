/** query-command-line-options: what options with a list of parameters take, where QEMU tells. */
import { invalid } from '../../base/errors.ts';
import { array, enumeration, optional, str, struct } from '../../qapi/types.ts';
import type { CommandLineOption } from '../command-line-options.ts';
import { defineMachineCommand } from '../machine-command.ts';

const parameterInfo = struct('CommandLineParameterInfo', {
  name: str,
  type: enumeration('CommandLineParameterType', ['string', 'boolean', 'number', 'size']),
  help: optional(str),
  default: optional(str),
});

export const queryCommandLineOptions = defineMachineCommand({
  name: 'query-command-line-options',
  args: struct('QueryCommandLineOptionsArguments', { option: optional(str) }),
  returns: array(struct('CommandLineOptionInfo', { option: str, parameters: array(parameterInfo) })),
  async run(_machine, { option }): Promise<CommandLineOption[]> {
    // Only when somebody asks.
    const { commandLineOptions } = await import('../command-line-options.ts');
    const chosen = commandLineOptions.filter((info) => option === undefined || info.option === option);
    if (option !== undefined && chosen.length === 0) throw invalid(`invalid option name: ${option}`);
    return [...chosen];
  },
});
