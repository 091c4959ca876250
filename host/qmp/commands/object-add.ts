/** object-add: makes an object, such as a throttle group (specification: throttling, section 4). */
import { objectOptionsType } from '../../objects/types.ts';
import { defineCommand } from '../command.ts';

export const objectAdd = defineCommand({
  name: 'object-add',
  args: objectOptionsType,
  since: '2.0',
  async run({ objects }, options) {
    await objects.add(options);
    return {};
  },
});
