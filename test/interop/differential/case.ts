/**
 * One case: images, and command lines for both tools. A case is data, so that it can be shrunk and kept.
 */
import { Seeded } from '../../support/seeded.ts';
import { type Image, qcow2Recipe, type Recipe, rawRecipe } from './images.ts';
import { imgCommand, isTop } from './img-commands.ts';
import { ioCommands } from './io-commands.ts';
import { asJsonName, asOptionString, spoil, type Tree } from './options.ts';
import { randomStack } from './stacks.ts';

export interface Step {
  tool: 'qemu-img' | 'qemu-io';
  /** In front of the commands. */
  args: string[];
  /** Each given with `-c`; qemu-io only. */
  commands?: string[];
}

export interface Case {
  recipes: Recipe[];
  steps: Step[];
}

export function randomCase(seed: number): Case {
  const random = new Seeded(seed);
  const recipes = randomRecipes(random);
  const images = recipes.map(({ image }) => image);
  const steps: Step[] = [];
  for (let count = 1 + random.below(3); count > 0; count--) {
    steps.push(random.oneIn(3) ? imgStep(random, images) : ioStep(random, images));
  }
  return { recipes, steps };
}

function randomRecipes(random: Seeded): Recipe[] {
  const recipes: Recipe[] = [
    random.oneIn(2) ? rawRecipe(random, 'a.raw') : qcow2Recipe(random, 'a.qcow2', undefined),
  ];
  if (random.oneIn(2)) {
    const backing = random.oneIn(4) ? undefined : recipes[0]!.image;
    recipes.push(random.oneIn(5) ? rawRecipe(random, 'b.raw') : qcow2Recipe(random, 'b.qcow2', backing));
  }
  if (random.oneIn(3))
    recipes.push(qcow2Recipe(random, 'c.qcow2', random.oneIn(2) ? undefined : recipes.at(-1)!.image));
  return recipes;
}

function ioStep(random: Seeded, images: readonly Image[]): Step {
  const image = random.pick(images.filter((one) => isTop(one, images)));
  const stack = randomStack(random, image, images);
  const args: string[] = [];
  if (random.oneIn(5))
    args.push('-t', random.pick(['none', 'writeback', 'writethrough', 'directsync', 'unsafe']));
  if (random.oneIn(4)) args.push('-d', random.pick(['unmap', 'ignore', 'on', 'off']));
  if (random.oneIn(12)) args.push('-r');
  const commands: string[] = [];
  for (let count = 1 + random.below(6); count > 0; count--) commands.push(...ioCommands(random, stack));
  // QEMU overwrites other data when a second compressed cluster is put where a first one was and is no more.
  const compressed = commands.findIndex((command) => command.startsWith('write -c'));
  const isSecond = (command: string, index: number): boolean =>
    index > compressed && command.startsWith('write -c');
  const kept = commands.filter((command, index) => !isSecond(command, index));
  if (random.oneIn(4))
    return { tool: 'qemu-io', args: [...args, '-f', image.format, image.name], commands: kept };
  const { tree } = stack;
  if (random.oneIn(8)) spoil(random, tree);
  if (stack.needsThrottleGroup) args.unshift('--object', 'throttle-group,id=tg0,x-iops-total=1000000');
  return { tool: 'qemu-io', ...named(random, tree, args, kept) };
}

/** The stack as a name, as an option string, or opened by a command. */
function named(random: Seeded, tree: Tree, args: string[], commands: string[]): Omit<Step, 'tool'> {
  switch (random.below(5)) {
    case 0:
    case 1:
      return { args: [...args, asJsonName(random, tree)], commands };
    case 2:
      return { args, commands: [`open -o ${asOptionString(random, tree)}`, ...commands] };
    default:
      return { args: [...args, '--image-opts', asOptionString(random, tree)], commands };
  }
}

function imgStep(random: Seeded, images: readonly Image[]): Step {
  const source = (image: Image): { options: string[]; name: string } => {
    if (random.oneIn(2)) return { options: ['-f', image.format], name: image.name };
    // Of a window that starts within a sector, qemu-img convert loses data in front of which there is a hole.
    const { tree, needsThrottleGroup } = randomStack(random, image, images, { inSectors: true });
    if (needsThrottleGroup) return { options: ['-f', image.format], name: image.name };
    if (random.oneIn(8)) spoil(random, tree);
    return random.oneIn(2)
      ? { options: [], name: asJsonName(random, tree) }
      : { options: ['--image-opts'], name: asOptionString(random, tree) };
  };
  return { tool: 'qemu-img', args: imgCommand({ random, images, source }) };
}
