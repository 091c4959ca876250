/**
 * `-object` of a machine, which is read as a QemuOpts list unless it is JSON or stands in a configuration file: a bare word is
 * a deprecated switch, and an option that is unknown has other words than those of keyval (cli/shared/object-option.ts).
 */
import { invalid } from '../../base/errors.ts';
import type { ObjectOptions } from '../../objects/types.ts';
import { checkIdentifier } from '../../qapi/identifier.ts';
import { parseQemuOpts } from '../../qapi/qemu-opts.ts';
import { checkQemuOpts } from '../../qapi/qemu-opts-values.ts';
import { ExitStatus } from '../shared/exit-status.ts';
import { objectTypeHelp, readObject } from '../shared/object-option.ts';
import { knownObjectOptions } from '../shared/object-types.ts';
import type { Tool } from '../shared/tool.ts';
import type { Step } from './options.ts';

const help = /(^|,)(help|\?)(,|$)/;

/** Errors: BlockError; ExitStatus when the option asked for help, which has been printed. */
export function readMachineObject(tool: Tool, { name, value, place }: Step): ObjectOptions {
  if (place !== undefined || value.startsWith('{')) {
    const options = readObject(value);
    checkIdentifier(options.id);
    return options;
  }
  if (help.test(value)) {
    const { pairs } = parseQemuOpts(value, { impliedKey: 'qom-type' });
    const type = pairs.findLast((pair) => pair.name === 'qom-type')?.value ?? 'help';
    if (!help.test(type) && !Object.hasOwn(knownObjectOptions.branches(), type)) {
      throw invalid(`Parameter 'qom-type' does not accept value '${type}'`);
    }
    tool.out(objectTypeHelp(type));
    throw new ExitStatus(0);
  }
  const { warn } = tool.commentsOn(`-${name} ${value}`);
  const { id, pairs } = parseQemuOpts(value, { impliedKey: 'qom-type', warn });
  const ids = id === undefined ? [] : [{ name: 'id', value: id }];
  return checkQemuOpts(knownObjectOptions, [...pairs, ...ids]);
}
