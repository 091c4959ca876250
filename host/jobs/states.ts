/**
 * The job state machine as data: which status may follow which, and which verb is accepted in which status
 * (specification: jobs, section 2). `Job.setStatus` is the only writer of a status.
 */

export const transitions = {
  undefined: ['created'],
  created: ['running', 'aborting', 'null'],
  running: ['paused', 'ready', 'waiting', 'aborting'],
  paused: ['running'],
  ready: ['standby', 'waiting', 'aborting'],
  standby: ['ready'],
  waiting: ['pending', 'aborting'],
  pending: ['aborting', 'concluded'],
  aborting: ['aborting', 'concluded'],
  concluded: ['null'],
  null: [],
} as const;

export type JobStatus = keyof typeof transitions;

const active = ['created', 'running', 'paused', 'ready', 'standby'] as const;

export const verbs = {
  cancel: [...active, 'waiting', 'pending'],
  pause: active,
  resume: active,
  'set-speed': active,
  complete: ['ready', 'standby'],
  change: active,
  finalize: ['pending'],
  dismiss: ['concluded'],
} as const;

export type JobVerb = keyof typeof verbs;

export function mayFollow(from: JobStatus, to: JobStatus): boolean {
  return (transitions[from] as readonly JobStatus[]).includes(to);
}

export function accepts(status: JobStatus, verb: JobVerb): boolean {
  return (verbs[verb] as readonly JobStatus[]).includes(status);
}

/** Source and target are in step: the job waits to be told to complete. */
export function isReady(status: JobStatus): boolean {
  return status === 'ready' || status === 'standby';
}
