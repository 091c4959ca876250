/**
 * What the command line says about the machine as a whole: its type, name and identity, and the parts that a machine
 * without a processor does not have.
 */
import { asBlockError, type BlockError, invalid } from '../../base/errors.ts';
import type { GlobalProperty } from '../../machine/globals.ts';
import { findMachineType, type MachineType } from '../../machine/machine-types.ts';
import { processorModels } from '../../machine/processor-models.ts';
import { OptionValues, parseQemuOpts, type QemuOption } from '../../qapi/qemu-opts.ts';

const defaultMachine = 'pc';
const accelerators = ['qtest', 'tcg'];

type Warn = (message: string, hint?: string) => void;

interface MachineChoice {
  type: MachineType;
  /** It has power management. */
  hasAcpi: boolean;
  /** The virtual clock stands still unless told to go on. */
  isQtest: boolean;
}

const machineParameters: readonly QemuOption[] = ['type', 'accel', 'acpi'].map((name) => ({
  name,
  type: 'string',
}));
const onOffAuto = ['on', 'off', 'auto'];

/** `-machine [type=]NAME[,accel=A[:B…]][,acpi=on|off|auto]` and all `-accel`. Errors: BlockError. */
export function readMachine(text: string | undefined, accels: readonly string[], warn: Warn): MachineChoice {
  const { pairs } = parseQemuOpts(text ?? defaultMachine, { impliedKey: 'type', warn });
  const name = pairs.findLast((pair) => pair.name === 'type')?.value ?? defaultMachine;
  const type = findMachineType(name);
  if (!type)
    throw invalid(`unsupported machine type: "${name}"`, 'Use -machine help to list supported machines');
  const other = pairs.find((pair) => !machineParameters.some((known) => known.name === pair.name))?.name;
  const values = new OptionValues(
    pairs.filter((pair) => pair.name !== other),
    machineParameters,
  );
  const acpi = values.string('acpi');
  const unknown = acpi !== undefined && !type.hasAcpi ? 'acpi' : other;
  if (unknown !== undefined) throw invalid(`Property '${type.name}-machine.${unknown}' not found`);
  if (acpi !== undefined && !onOffAuto.includes(acpi)) {
    throw invalid(`Parameter 'acpi' does not accept value '${acpi}'`);
  }
  const own = values.string('accel');
  if (own !== undefined && accels.length > 0) {
    throw invalid('The -accel and "-machine accel=" options are incompatible');
  }
  const chosen = accels.length > 0 ? accels.map(acceleratorName) : (own?.split(':') ?? ['tcg']);
  // The first that is there is taken, as with QEMU.
  const accelerator = chosen.find((candidate) => accelerators.includes(candidate));
  if (accelerator === undefined) throw acceleratorError(chosen[0] ?? '', accels.length > 0);
  // The chipset of q35 has its power management in any case.
  const hasAcpi = type.hasAcpi && (acpi !== 'off' || type.name.startsWith('pc-q35'));
  return { type, isQtest: accelerator === 'qtest', hasAcpi };
}

function acceleratorName(text: string): string {
  const [name = ''] = text.replace(/^accel=/, '').split(',', 1);
  return name;
}

function acceleratorError(name: string, fromOption: boolean): BlockError {
  const known = ['kvm', 'xen', 'hax', 'hvf', 'nvmm', 'whpx'].includes(name);
  const error = invalid(
    known ? `accelerator ${name} is not supported: there is no processor` : `invalid accelerator ${name}`,
  );
  return fromOption ? error.within(`-accel ${name}`) : error;
}

/** `-global DRIVER.PROPERTY=VALUE`, or with three options, all of them unless `isWhole` is false. Errors: BlockError. */
export function readGlobal(text: string, warn: Warn, isWhole: boolean): GlobalProperty {
  const [, ...named] = /^([^.=]+)\.([^=]+)=(.*)$/s.exec(text) ?? [];
  const [driver, property, value] = named.length > 0 ? named : globalOptions(text, warn);
  if (isWhole && [driver, property, value].includes(undefined)) {
    throw invalid("options 'driver', 'property', and 'value' are required");
  }
  return { driver: driver ?? '(null)', property, value };
}

function globalOptions(text: string, warn: Warn): (string | undefined)[] {
  const names = ['driver', 'property', 'value'];
  const { pairs } = parseQemuOpts(text, { warn });
  const values = new OptionValues(
    pairs,
    names.map((name) => ({ name, type: 'string' })),
  );
  return names.map((name) => values.string(name));
}

/** `-name [guest=]NAME[,process=…][,debug-threads=…]`. Errors: BlockError. */
export function readName(text: string | undefined, warn: Warn): string | undefined {
  if (text === undefined) return undefined;
  const { pairs } = parseQemuOpts(text, { impliedKey: 'guest', warn });
  const values = new OptionValues(pairs, [
    { name: 'guest', type: 'string' },
    { name: 'process', type: 'string' },
    { name: 'debug-threads', type: 'bool' },
  ]);
  const title = values.string('process');
  if (title !== undefined) process.title = title;
  return values.string('guest');
}

/** Errors: BlockError. */
export function readUuid(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text.toLowerCase();
  throw invalid('failed to parse UUID string: wrong format');
}

/** `-smp [cpus=]N,…`: how many processors there would be. Errors: BlockError. */
export function checkProcessors(text: string | undefined, type: MachineType): void {
  if (text === undefined) return;
  const { pairs } = parseQemuOpts(text, { impliedKey: 'cpus' });
  const names = ['cpus', 'sockets', 'dies', 'clusters', 'cores', 'threads', 'maxcpus'];
  const values = new OptionValues(
    pairs,
    names.map((name) => ({ name, type: 'number' })),
  );
  const count = values.number('cpus') ?? 1;
  const max = type.maxProcessors;
  if (count > max) {
    throw invalid(`Invalid SMP CPUs ${count}. The max CPUs supported by machine '${type.name}' is ${max}`);
  }
}

/** `-cpu MODEL[,…]`: what the processor would be. Errors: BlockError. */
export function checkProcessorModel(text: string | undefined): void {
  if (text === undefined) return;
  const [name = ''] = text.split(',', 1);
  if (!processorModels.some((model) => model.name === name)) {
    throw invalid(`unable to find CPU model '${name}'`);
  }
}

const memoryParameters: readonly QemuOption[] = [
  { name: 'size', type: 'size' },
  { name: 'slots', type: 'number' },
  { name: 'maxmem', type: 'size' },
];

const mebibyte = 1 << 20;
/** Memory has whole pages of the host. */
const pageBytes = 8192;

/** `-m [size=]N[,slots=…][,maxmem=…]`: bytes of memory; a number alone is mebibytes, and 0 the usual. Errors: BlockError. */
export function readMemory(text: string | undefined, type: MachineType): number {
  const bytes = text === undefined ? 0 : memoryBytes(text);
  return bytes === 0 ? type.defaultMemory : Math.ceil(bytes / pageBytes) * pageBytes;
}

function memoryBytes(text: string): number {
  const { pairs } = parseQemuOpts(text, { impliedKey: 'size' });
  try {
    const size = new OptionValues(pairs, memoryParameters).number('size') ?? 0;
    const isPlain = /\d$/.test(pairs.findLast(({ name }) => name === 'size')?.value ?? '');
    return isPlain ? size * mebibyte : size;
  } catch (error) {
    throw asBlockError(error).within(`-m ${text}`);
  }
}

/** `-display`, `-vga`, `-parallel`, `-net` and `-nic` may say that there is none. Errors: BlockError. */
export function checkAbsent(option: string, value: string): void {
  const kind = value.replace(/,.*/s, '').replace(/^type=/, '');
  const absent = option === 'parallel' ? ['none', 'null'] : ['none'];
  if (!absent.includes(kind)) throw invalid(`only '${absent.join("' and '")}' is supported`);
}
