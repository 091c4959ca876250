/** qom-set: changes a property of an object, such as the limits of a throttle group. */
import type { JsonValue } from '../../qapi/json-value.ts';
import { any, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const qomSet = defineCommand({
  name: 'qom-set',
  args: struct('QomSetArguments', { path: str, property: str, value: any }),
  since: '1.2',
  async run({ objects: { tree } }, { path, property, value }) {
    // What is declared as anything is still what the client sent.
    await tree.set(tree.resolve(path), property, value as JsonValue);
    return {};
  },
});
