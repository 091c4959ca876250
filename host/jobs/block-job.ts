/** What commands tell every block job that has a filter of its own, whatever it does. */

export interface BlockJobParams {
  /** The name of the device when absent. */
  id: string | undefined;
  /** Bytes per second; 0: no limit. */
  speed: number | undefined;
  /** Absent: the filter is implicit. */
  filterNodeName: string | undefined;
  autoFinalize: boolean | undefined;
  autoDismiss: boolean | undefined;
}

/** The members of QMP arguments that are called so for all of these jobs. */
interface BlockJobArguments {
  'job-id'?: string | undefined;
  speed?: number | undefined;
  'filter-node-name'?: string | undefined;
  'auto-finalize'?: boolean | undefined;
  'auto-dismiss'?: boolean | undefined;
}

export function blockJobParams(given: BlockJobArguments): BlockJobParams {
  return {
    id: given['job-id'],
    speed: given.speed,
    filterNodeName: given['filter-node-name'],
    autoFinalize: given['auto-finalize'],
    autoDismiss: given['auto-dismiss'],
  };
}
