/** block-job-set-speed: limits a job to so many bytes per second; 0 for no limit. */
import { int64, str, struct } from '../../qapi/types.ts';
import { defineCommand } from '../command.ts';

export const blockJobSetSpeed = defineCommand({
  name: 'block-job-set-speed',
  args: struct('BlockJobSetSpeedArguments', { device: str, speed: int64 }),
  run({ jobs }, { device, speed }) {
    jobs.getBlockJob(device).setSpeed(speed);
    return {};
  },
});
