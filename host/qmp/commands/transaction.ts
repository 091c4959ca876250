/** transaction: several actions at one instant, all or none. */
import { actions, transactionArguments } from '../actions/index.ts';
import { defineCommand } from '../command.ts';
import { runTransaction } from '../transaction.ts';

export const transaction = defineCommand({
  name: 'transaction',
  args: transactionArguments,
  async run(context, { actions: given, properties }) {
    const planned = given.map(({ type, data }) => {
      const definition = actions.find((action) => action.type === type)!; // the type was checked against this table
      return { definition, data };
    });
    await runTransaction(context, planned, properties?.['completion-mode']);
    return {};
  },
});
