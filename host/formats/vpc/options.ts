/** What can be said of a VHD image when it is opened (specification: vpc, section 3). */
import { optional, str, struct, type TypeOf } from '../../qapi/types.ts';

export const options = struct('BlockdevOptionsVpc', {
  /** `chs` or `current_size`: which length counts. Absent: that depends on who made the image. */
  force_size_calc: optional(str),
});

export type VpcOptions = TypeOf<typeof options>;
