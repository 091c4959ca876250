/** The formats whose images are written from their beginning to their end, by name. */
import type { CreateValues } from '../block/driver.ts';
import type { OrderedPlan } from '../block/ordered-file.ts';
import { planOrderedRaw } from './ordered-raw.ts';
import { planOrderedQcow2 } from './qcow2/create/ordered-image.ts';

/** Values: `size`, and creation options of the format. Errors: those of creation; ENOTSUP: what cannot be done in order. */
type PlanOrdered = (values: CreateValues) => OrderedPlan;

export const orderedFormats: Readonly<Record<string, PlanOrdered>> = {
  raw: planOrderedRaw,
  qcow2: planOrderedQcow2,
};
