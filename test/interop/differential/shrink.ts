/** Makes a failing case small: what can be left out while it still fails is left out. */
import type { Case } from './case.ts';

export async function shrink(failing: Case, fails: (testCase: Case) => Promise<boolean>): Promise<Case> {
  let smallest = failing;
  for (let again = true; again; ) {
    again = false;
    for (const candidate of smaller(smallest)) {
      if (!(await fails(candidate))) continue;
      smallest = candidate;
      again = true;
      break;
    }
  }
  return smallest;
}

function without<T>(list: readonly T[], index: number): T[] {
  return list.filter((_, i) => i !== index);
}

function replaced<T>(list: readonly T[], index: number, value: T): T[] {
  return list.map((element, i) => (i === index ? value : element));
}

/** Every case with one thing less. */
function* smaller({ recipes, steps }: Case): Generator<Case> {
  for (const index of steps.keys()) yield { recipes, steps: without(steps, index) };
  for (const [index, step] of steps.entries()) {
    const { commands = [] } = step;
    // Without commands the tool would ask for them.
    if (commands.length < 2) continue;
    for (const at of commands.keys())
      yield { recipes, steps: replaced(steps, index, { ...step, commands: without(commands, at) }) };
  }
  for (const [index, recipe] of recipes.entries())
    for (const at of recipe.fill.keys())
      yield { recipes: replaced(recipes, index, { ...recipe, fill: without(recipe.fill, at) }), steps };
  if (recipes.length > 1) yield { recipes: recipes.slice(0, -1), steps };
}
