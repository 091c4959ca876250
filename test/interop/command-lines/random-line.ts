/** Command lines of `img` drawn from seeds, by the tables of options that the subcommands themselves read them by. */
import { commands } from '../../../host/cli/img/commands.ts';
import type { OptionSpec } from '../../../host/cli/shared/getopt.ts';
import { Seeded } from '../../support/seeded.ts';
import {
  backedImageName,
  bitmapName,
  ddNumber,
  diskSize,
  drawValue,
  imageName,
  imageOptions,
  operandOfDd,
  resizeTo,
  targetName,
  targetOptions,
} from './line-values.ts';

const tables = new Map<string, readonly OptionSpec[]>();
for (const { name, load } of commands) tables.set(name, (await load()).specs);

/** Ours alone. */
const own = new Set(['atomic']);
/** Without these a subcommand does little. */
const usual: Readonly<Record<string, readonly string[]>> = {
  amend: ['options'],
  bitmap: ['add', 'remove', 'clear', 'enable', 'disable', 'merge'],
  convert: ['output-format'],
  create: ['format'],
  commit: [],
  measure: ['target-format', 'size'],
  rebase: ['backing', 'backing-format'],
  resize: ['shrink'],
  snapshot: ['apply', 'create', 'delete', 'list'],
};

export function randomLine(seed: number): string[] {
  const random = new Seeded(seed);
  for (;;) {
    const words = draw(random);
    if (isHarmless(words)) return words;
  }
}

function draw(random: Seeded): string[] {
  const command = random.pick(commands).name;
  const options = drawOptions(random, command);
  const operands = drawOperands(random, command, options.given);
  // Few requests.
  const first = command === 'bench' ? ['-c', '4', '-d', '1'] : [];
  const isMixed = random.oneIn(8);
  const rest = isMixed ? mixed(random, options.words, operands) : [...options.words.flat(), ...operands];
  return [command, ...first, ...rest];
}

function mixed(random: Seeded, options: string[][], operands: readonly string[]): string[] {
  const parts = [...options];
  for (const operand of operands) parts.splice(random.below(parts.length + 1), 0, [operand]);
  return parts.flat();
}

interface DrawnOptions {
  readonly words: string[][];
  readonly given: ReadonlySet<string>;
}

function drawOptions(random: Seeded, command: string): DrawnOptions {
  const table = (tables.get(command) ?? []).filter((spec) => !own.has(nameOf(spec)));
  const words: string[][] = [];
  const given = new Set<string>();
  const add = (spec: OptionSpec): void => {
    given.add(nameOf(spec));
    words.push(spelled(random, spec, spec.argument ? drawValue(nameOf(spec), random) : undefined));
  };
  for (const spec of table) {
    const isUsual = usual[command]?.includes(nameOf(spec));
    if (isUsual ? random.oneIn(Math.max(usual[command]?.length ?? 0, 1.4)) : random.oneIn(9)) add(spec);
  }
  if (random.oneIn(25)) add(random.pick(table));
  if (random.oneIn(60))
    words.push([random.pick(['--zz', '-Z', '--', '-', '--image-opts=x', '--=', '-f', '-o'])]);
  return { words, given };
}

function nameOf({ long, short }: OptionSpec): string {
  return long ?? short ?? '';
}

function spelled(random: Seeded, { long, short }: OptionSpec, value: string | undefined): string[] {
  const isLong = long !== undefined && (short === undefined || random.oneIn(3));
  if (!isLong)
    return value === undefined
      ? [`-${short}`]
      : random.oneIn(5)
        ? [`-${short}${value}`]
        : [`-${short}`, value];
  const name = random.oneIn(12) ? long.slice(0, 1 + random.below(long.length)) : long;
  return value === undefined
    ? [`--${name}`]
    : random.oneIn(2)
      ? [`--${name}=${value}`]
      : [`--${name}`, value];
}

function drawOperands(random: Seeded, command: string, given: ReadonlySet<string>): string[] {
  const image = given.has('image-opts') ? imageOptions : imageName;
  const operands = usualOperands();
  if (random.oneIn(25)) operands.pop();
  if (random.oneIn(30)) operands.push(imageName(random));
  return operands;

  function usualOperands(): string[] {
    switch (command) {
      case 'bitmap':
        return [
          given.has('image-opts') || random.oneIn(3)
            ? image(random)
            : random.pick(['marked.qcow2', 'over-marked.qcow2']),
          bitmapName(random),
        ];
      case 'commit':
      case 'rebase':
        return [given.has('image-opts') ? imageOptions(random) : backedImageName(random)];
      case 'compare':
        return [image(random), image(random)];
      case 'convert': {
        const target = given.has('target-image-opts') ? targetOptions : targetName;
        const sources = [image(random)];
        while (random.oneIn(6)) sources.push(image(random));
        return [...sources, target(random)];
      }
      case 'create':
        return [targetName(random), ...(random.oneIn(5) ? [] : [diskSize(random)])];
      case 'dd': {
        const words = [`if=${image(random)}`, `of=${targetName(random)}`];
        while (random.oneIn(2)) words.push(`${operandOfDd(random)}=${ddNumber(random)}`);
        return words;
      }
      case 'measure':
        return given.has('size') && !random.oneIn(10) ? [] : [image(random)];
      case 'resize':
        return [image(random), resizeTo(random)];
      case 'snapshot':
        return [random.oneIn(2) ? 'snap.qcow2' : image(random)];
      default:
        return [image(random)];
    }
  }
}

/** Neither fills the disk or the memory nor takes minutes. */
function isHarmless(words: readonly string[]): boolean {
  const line = words.join(' ');
  const isLarge = words.some((word) => /\d{10}|\d[GTPE]|\d{3}M/.test(word));
  if (isLarge && /metadata|falloc|full/.test(line)) return false;
  if (words[0] === 'dd') return !/bs=(2147483647|1G)|vast|=[17]( |$)/.test(line);
  return true;
}
