/** qom-list: the properties of an object, its children among them. */
import { any, array, optional, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

const propertyInfo = struct('ObjectPropertyInfo', {
  name: str,
  type: str,
  description: optional(str),
  'default-value': optional(any),
});

export const qomList = defineCommand({
  name: 'qom-list',
  args: struct('QomListArguments', { path: str }),
  returns: array(propertyInfo),
  since: '1.2',
  run: ({ objects: { tree } }, { path }) =>
    tree
      .propertiesOf(tree.resolve(path))
      .map(({ name, type, description }) => ({ name, type, ...(description ? { description } : {}) })),
});
