/** abort: fails, so that a client can see everything else undone. */
import { invalid } from '../../base/errors.ts';
import { struct } from '../../qapi/types.ts';
import { defineAction } from './action.ts';

export const abort = defineAction({
  type: 'abort',
  data: struct('Abort', {}),
  supportsGrouped: false,
  create: () => ({ prepare: () => Promise.reject(invalid('Transaction aborted using Abort action')) }),
});
