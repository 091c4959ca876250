/** What QEMU 10.0 has been seen to answer for `-machine none`, of commands that older releases do not have. */
import { afterEach, expect, test } from 'vitest';
import { TestMachine } from '../support/machine.ts';

let running: TestMachine | undefined;
afterEach(async () => {
  await running?.close();
  running = undefined;
});

test('what is not there is an empty list, a state of none or an error in words', async () => {
  running = await TestMachine.start({ type: 'none' });
  const vm = running;
  for (const name of ['query-audiodevs', 'query-cryptodev', 'query-migrationthreads', 'query-tpm'])
    expect(await vm.run(name)).toEqual([]);
  expect(await vm.run('query-dirty-rate')).toEqual({
    status: 'unstarted',
    'sample-pages': 0,
    mode: 'page-sampling',
    'calc-time-unit': 'second',
    'start-time': 0,
    'calc-time': 0,
  });
  await expect(vm.run('query-hotpluggable-cpus')).rejects.toThrow(
    'machine does not support hot-plugging CPUs',
  );
  await expect(vm.run('query-hv-balloon-status-report')).rejects.toThrow('no hv-balloon device present');
});
