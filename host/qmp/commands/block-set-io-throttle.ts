/** block_set_io_throttle: the limits of a device's disk (specification: throttling, sections 1 and 5). */
import { BlockError, invalid } from '../../base/errors.ts';
import { deviceNotFound } from '../../objects/qom.ts';
import { int, optional, str, struct } from '../../qapi/types.ts';
import { setBackendLimits } from '../../throttle/backend-limits.ts';
import { validate } from '../../throttle/config.ts';
import { configFromArguments } from '../../throttle/limit-names.ts';
import { defineCommand } from '../command.ts';
import { backendOfDevice } from '../device-backend.ts';

export const blockSetIoThrottle = defineCommand({
  name: 'block_set_io_throttle',
  args: struct('BlockIOThrottle', {
    device: optional(str),
    id: optional(str),
    bps: int,
    bps_rd: int,
    bps_wr: int,
    iops: int,
    iops_rd: int,
    iops_wr: int,
    bps_max: optional(int),
    bps_rd_max: optional(int),
    bps_wr_max: optional(int),
    iops_max: optional(int),
    iops_rd_max: optional(int),
    iops_wr_max: optional(int),
    bps_max_length: optional(int),
    bps_rd_max_length: optional(int),
    bps_wr_max_length: optional(int),
    iops_max_length: optional(int),
    iops_rd_max_length: optional(int),
    iops_wr_max_length: optional(int),
    iops_size: optional(int),
    group: optional(str),
  }),
  since: '1.1',
  async run(context, { device, id, group, ...limits }) {
    const { graph } = context;
    if ((device === undefined) === (id === undefined)) {
      throw invalid("Need exactly one of 'device' and 'id'");
    }
    const fallback = device ?? id ?? '';
    const backend = device === undefined ? backendOfDevice(context, fallback) : graph.backends.find(device);
    if (!backend) throw deviceNotFound(fallback);
    if (!backend.hasMedium) throw new BlockError('ENOMEDIUM', 'Device has no medium');
    const config = configFromArguments(limits);
    validate(config);
    await setBackendLimits(graph, backend, config, { group, fallback });
    return {};
  },
});
