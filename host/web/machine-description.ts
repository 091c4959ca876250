/** The description of a machine that comes from elsewhere, checked as far as the page relies on it: it names files, and addresses. */
import { checkStrict } from '../qapi/strict.ts';
import { array, bool, enumeration, int, nil, num, optional, str, struct, type Type } from '../qapi/types.ts';
import { disks, imagesOf, type MachineState, unrelatedReasons } from './machine-state.ts';

/** Of either kind that a time may have: null is one that was too long. */
const wait: Type = { kind: 'alternate', name: 'Wait', branches: () => [num, nil] };
const source = struct('Source', { url: optional(str), name: str });
const filesType = struct('Disks', Object.fromEntries(disks.map((disk) => [disk, str])));

const stateType = struct('Machine', {
  files: filesType,
  base: optional(int),
  backups: array(
    struct('Backup', {
      number: int,
      madeAt: str,
      kind: enumeration('Kind', ['full', 'incremental']),
      files: array(struct('File', { disk: enumeration('Disk', disks), path: str })),
      tookMs: optional(num),
      bytes: optional(num),
      longestWaitMs: optional(wait),
      proof: optional(struct('Proof', { records: array(int), violations: int })),
    }),
  ),
  unrelated: int,
  unrelatedBecause: optional(enumeration('Unrelated', unrelatedReasons)),
  unfinished: array(str),
  names: int,
  isFilled: optional(bool),
  hasPowerManagement: optional(bool),
  plan: optional(
    struct('Plan', {
      boot: enumeration('Boot', ['embedded', 'disk']),
      memoryMiB: int,
      image: optional(source),
      media: optional(
        struct('Media', {
          secondDisk: optional(source),
          cd: optional(source),
          floppy: optional(source),
          kernel: optional(source),
          initrd: optional(source),
          commandLine: optional(str),
        }),
      ),
    }),
  ),
});

const memoryRange = [16, 2047] as const;

/** `name`: of the machine. Errors: it is not what the page writes. */
export function checkedDescription(name: string, text: string): MachineState {
  // How many records a proof has is checked below.
  const state = checkStrict(stateType, JSON.parse(text)) as unknown as MachineState;
  const numbers = state.backups.map(({ number }) => number);
  const belongs = (path: string): boolean => /^[\w.-]+\.qcow2$/.test(path) && path.startsWith(`${name}-`);
  const { plan, base, backups } = state;
  const sources = plan ? [plan.image, ...Object.values(plan.media ?? {})] : [];
  const isSound =
    Object.values(imagesOf(state)).flat().every(belongs) &&
    numbers.every((number, i) => number > (numbers[i - 1] ?? 0)) &&
    backups.every(({ files }) =>
      disks.every((disk) => files.filter((file) => file.disk === disk).length === 1),
    ) &&
    backups.every(({ proof }) => proof === undefined || proof.records.length === disks.length) &&
    (base === undefined || numbers.includes(base)) &&
    (plan === undefined || (plan.memoryMiB >= memoryRange[0] && plan.memoryMiB <= memoryRange[1])) &&
    sources.every((one) => typeof one !== 'object' || one.url === undefined || /^https?:\/\//.test(one.url));
  if (!isSound) throw new Error('it says what cannot be');
  return state;
}
