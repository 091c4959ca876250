/**
 * `-msg` and `-trace`: how a program reports, and what it lets people watch (specification: cli, section 7). They are taken
 * before anything else is done, in the order given.
 */
import { BlockError } from '../../base/errors.ts';
import { OptionValues, parseQemuOpts, type QemuOption } from '../../qapi/qemu-opts.ts';
import { isBackgroundProcess } from '../shared/background.ts';
import type { Tool } from '../shared/tool.ts';
import type { CommandLine } from './options.ts';

const messageOptions: readonly QemuOption[] = ['timestamp', 'guest-name'].map((name) => ({
  name,
  type: 'bool',
}));

/** Reports a mistake and ends. Of a program that goes on in the background, that one takes them. */
export async function takeReporting(tool: Tool, line: CommandLine): Promise<void> {
  if (line.has('daemonize') && !isBackgroundProcess()) return;
  const log = await tool.trace();
  for (const { name, value } of line.all('msg', 'trace')) {
    const context = `-${name} ${value}`;
    const take = name === 'msg' ? takeMessageFormat : () => log.take(value, context);
    await tool.attempt(async () => take(tool, value, context), { context });
  }
}

function takeMessageFormat(tool: Tool, text: string, context: string): void {
  const values = new OptionValues(parseQemuOpts(text, tool.commentsOn(context)).pairs, messageOptions);
  if (values.bool('guest-name')) throw new BlockError('ENOTSUP', 'guest-name is not supported');
  tool.hasTimestamps = values.bool('timestamp') ?? false;
}
