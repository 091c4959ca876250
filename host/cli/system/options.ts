/**
 * The options of qemu-system-* that are about storage and the monitor (specification: cli, section 6), those that a
 * machine without a processor can take for granted, and those that are refused by name.
 *
 * Options start with one dash or two, and stand in any order. What is said twice is said by the last, but for options
 * that add something. A word that is no option is the disk image of the first IDE disk.
 */
import { BlockError } from '../../base/errors.ts';
import { withoutUndefined } from '../../base/without-undefined.ts';
import type { Tool } from '../shared/tool.ts';
import { readConfig, withSetting } from './option-groups.ts';

/** How an option is served. */
export type OptionKind =
  /** Kept in order: each adds something. */
  | 'add'
  /** Says something about options before it. */
  | 'change'
  /** A file with options. */
  | 'file'
  /** The last one counts. */
  | 'set'
  /** A switch. */
  | 'switch'
  /** Says something about what is not there: taken as it is. */
  | 'ignored-switch'
  /** Known, and not served by this program. */
  | 'refused';

/** Whether a word follows the option. */
export function takesArgument(kind: OptionKind): boolean {
  return kind !== 'switch' && kind !== 'ignored-switch';
}

/** Those of every machine. */
export const machineOptions: Readonly<Record<string, OptionKind>> = {
  blockdev: 'add',
  drive: 'add',
  hda: 'add',
  hdb: 'add',
  hdc: 'add',
  hdd: 'add',
  cdrom: 'add',
  fda: 'add',
  fdb: 'add',
  device: 'add',
  object: 'add',
  chardev: 'add',
  qmp: 'add',
  'qmp-pretty': 'add',
  mon: 'add',
  global: 'add',
  set: 'change',
  readconfig: 'file',
  monitor: 'add',
  serial: 'add',
  parallel: 'add',
  machine: 'set',
  M: 'set',
  accel: 'add',
  cpu: 'set',
  m: 'set',
  smp: 'set',
  display: 'add',
  vga: 'add',
  net: 'add',
  nic: 'add',
  name: 'set',
  uuid: 'set',
  msg: 'add',
  trace: 'add',
  pidfile: 'set',
  loadvm: 'set',
  qtest: 'set',
  'qtest-log': 'set',
  'enable-kvm': 'switch',
  S: 'switch',
  snapshot: 'switch',
  daemonize: 'switch',
  nodefaults: 'switch',
  'no-reboot': 'switch',
  version: 'switch',
  help: 'switch',
  h: 'switch',
  nographic: 'ignored-switch',
  'no-shutdown': 'ignored-switch',
  'no-user-config': 'ignored-switch',
  'no-fd-bootchk': 'ignored-switch',
};

/** QEMU has them; they take an argument, and cannot be served here. */
const refusedWithArgument = new Set([
  'incoming',
  'kernel',
  'initrd',
  'append',
  'dtb',
  'bios',
  'boot',
  'pflash',
  'sd',
  'mtdblock',
  'netdev',
  'usbdevice',
  'sandbox',
  'D',
  'd',
  'rtc',
  'icount',
  'watchdog',
  'watchdog-action',
  'action',
  'add-fd',
  'audiodev',
  'audio',
  'fsdev',
  'virtfs',
  'gdb',
  'k',
  'L',
  'mem-path',
  'numa',
  'option-rom',
  'overcommit',
  'plugin',
  'preconfig',
  'runas',
  'chroot',
  'smbios',
  'acpitable',
  'spice',
  'tpmdev',
  'vnc',
  'compat',
  'debugcon',
  'echr',
  'fw_cfg',
  'iscsi',
  'seed',
]);

const refusedSwitches = new Set([
  'usb',
  's',
  'singlestep',
  'full-screen',
  'mem-prealloc',
  'semihosting',
  'win2k-hack',
  'preconfig',
  'only-migratable',
  'enable-sync-profile',
]);

export interface Step {
  /** Without its dash; `operand` for a word that is no option. */
  name: string;
  value: string;
  /** What stood there, where -set has added to it. */
  given?: string;
  /** File and line, for what does not come from the command line. */
  place?: string;
}

export class CommandLine {
  /** Options that add something, in the order given. */
  steps: Step[] = [];
  private readonly values = new Map<string, string>();

  all(...names: readonly string[]): Step[] {
    return this.steps.filter(({ name }) => names.includes(name));
  }

  get(name: string): string | undefined {
    return this.values.get(name);
  }

  has(name: string): boolean {
    return this.values.has(name);
  }

  set(name: string, value: string): void {
    this.values.set(name, value);
  }
}

/** `more`: options beside those of every machine, or in their place. Reports a mistake and ends. */
export function readCommandLine(
  tool: Tool,
  argv: readonly string[],
  more: Readonly<Record<string, OptionKind>> = {},
): CommandLine {
  const known = { ...machineOptions, ...more };
  const line = new CommandLine();
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!; // at < argv.length
    if (!word.startsWith('-') || word === '-') {
      line.steps.push({ name: 'operand', value: word });
      continue;
    }
    const name = word.replace(/^--?/, '');
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    const isRefused = kind === 'refused' || refusedWithArgument.has(name) || refusedSwitches.has(name);
    if (kind === undefined || kind === 'refused') {
      tool.fail(isRefused ? `${word}: option is not supported` : `${word}: invalid option`);
    }
    if (!takesArgument(kind)) {
      line.set(name === 'h' ? 'help' : name, '');
      continue;
    }
    const value = argv[++at];
    if (value === undefined) tool.fail(`${word}: requires an argument`);
    takeValue(tool, line, { name, value }, kind, known);
  }
  return line;
}

function takeValue(
  tool: Tool,
  line: CommandLine,
  step: Step,
  kind: OptionKind,
  known: Readonly<Record<string, OptionKind>>,
): void {
  const { name, value } = step;
  switch (kind) {
    case 'add':
      line.steps.push(step);
      return;
    case 'change':
      line.steps = attempt(tool, step, () => withSetting(line.steps, value));
      return;
    case 'file':
      for (const inner of attempt(tool, step, () => readConfig(value))) {
        takeValue(tool, line, inner, known[inner.name]!, known); // groups are those of options that there are
      }
      return;
    default:
      line.set(name === 'M' ? 'machine' : name, value);
  }
}

function attempt<T>(tool: Tool, { name, value }: Step, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof BlockError)) throw error;
    const { message, hint } = error.within(`-${name} ${value}`);
    return tool.fail(message, withoutUndefined({ hint }));
  }
}
