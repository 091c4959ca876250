/** qom-get: the value of a property of an object. */
import { any, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const qomGet = defineCommand({
  name: 'qom-get',
  args: struct('QomGetArguments', { path: str, property: str }),
  returns: any,
  since: '1.2',
  run: ({ objects: { tree } }, { path, property }) => tree.get(tree.resolve(path), property),
});
