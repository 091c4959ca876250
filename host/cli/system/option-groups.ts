/**
 * `-readconfig FILE` and `-set GROUP.ID.KEY=VALUE`: options as QEMU keeps them, in groups (specification: cli, section 6).
 *
 * Both end in the same options that the command line has. A section of a file is an option at the place of -readconfig, and what is
 * wrong with it is said with the line of its last value. -set changes an option that stands before it; one whose argument is JSON
 * is in no group.
 */
import { readFileSync } from 'node:fs';
import { type BlockError, invalid } from '../../base/errors.ts';
import { fromSystemError } from '../../platform/node/errors.ts';
import { parseConfigFile } from '../../qapi/config-file.ts';
import { parseQemuOpts } from '../../qapi/qemu-opts.ts';
import type { Step } from './options.ts';

/** The options whose arguments are of a group. */
const optionsOfGroups: Readonly<Record<string, string>> = {
  accel: 'accel',
  chardev: 'chardev',
  device: 'device',
  drive: 'drive',
  global: 'global',
  machine: 'machine',
  memory: 'm',
  mon: 'mon',
  msg: 'msg',
  name: 'name',
  object: 'object',
  'smp-opts': 'smp',
  trace: 'trace',
};

/** QEMU's groups for what is not here. */
const refusedGroups = new Set([
  ...[
    'acpi',
    'action',
    'add-fd',
    'boot-opts',
    'fsdev',
    'fw_cfg',
    'icount',
    'incoming',
    'net',
    'netdev',
    'nic',
    'numa',
  ],
  ...[
    'option-rom',
    'overcommit',
    'realtime',
    'rtc',
    'sandbox',
    'semihosting-config',
    'smbios',
    'spice',
    'tpmdev',
    'virtfs',
  ],
]);

function checkGroup(group: string): void {
  if (refusedGroups.has(group)) throw invalid(`option group '${group}' is not supported`);
  if (!Object.hasOwn(optionsOfGroups, group)) throw invalid(`There is no option group '${group}'`);
}

/** The options that a file stands for. Errors: BlockError. */
export function readConfig(path: string): Step[] {
  const sections = parseConfigFile(readText(path), {
    checkGroup,
    checkValue(_group, key) {
      if (/[=,]/.test(key)) throw invalid(`Invalid parameter '${key}'`);
    },
  });
  return sections.map(({ group, id, values, line }) => {
    const pairs = Object.entries(id === undefined ? values : { id, ...values });
    if (id !== undefined) parseQemuOpts(`id=${escaped(id)}`);
    return {
      name: optionsOfGroups[group]!, // checkGroup has let it pass
      value: pairs.map(([key, value]) => `${key}=${escaped(value)}`).join(','),
      place: `${path}:${line}`,
    };
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw fileError(error, path);
  }
}

function fileError(error: unknown, path: string): BlockError {
  const isDirectory = (error as NodeJS.ErrnoException).code === 'EISDIR';
  return fromSystemError(error).within(isDirectory ? 'Cannot read config file' : `Could not open '${path}'`);
}

const escaped = (value: string): string => value.replaceAll(',', ',,');

/** `steps` with what `text` says about one of them. Errors: BlockError. */
export function withSetting(steps: readonly Step[], text: string): Step[] {
  const [, group = '', id = '', key = '', value = ''] = /^([^.]+)\.([^.]+)\.([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === '') throw invalid(`can't parse: "${text}"`);
  if (group === 'object') throw invalid('-set is not supported with object');
  checkGroup(group);
  const option = optionsOfGroups[group];
  const index = steps.findIndex(
    (step) => step.name === option && !step.value.startsWith('{') && idOf(step.value) === id,
  );
  const found = steps[index];
  if (!found) throw invalid(`there is no ${group} "${id}" defined`);
  const changed = {
    ...found,
    value: `${found.value},${key}=${escaped(value)}`,
    given: found.given ?? found.value,
  };
  return steps.with(index, changed);
}

/** Undefined, too, for what its option will refuse. */
function idOf(text: string): string | undefined {
  return /(?:^|,)id=([^,]*)/.exec(text)?.[1];
}
