import { describe, expect, it } from 'vitest';
import {
  accepts,
  type JobStatus,
  type JobVerb,
  mayFollow,
  transitions,
  verbs,
} from '../../host/jobs/states.ts';

const statuses = Object.keys(transitions) as JobStatus[];

describe('the job state machine', () => {
  it('leads from every status to null', () => {
    const reaches = (from: JobStatus, seen = new Set<JobStatus>()): boolean => {
      if (from === 'null') return true;
      if (seen.has(from)) return false;
      seen.add(from);
      return transitions[from].some((next) => reaches(next, seen));
    };
    expect(statuses.filter((status) => !reaches(status))).toEqual([]);
  });

  it('goes back to running only from a pause', () => {
    expect(statuses.filter((from) => mayFollow(from, 'running'))).toEqual(['created', 'paused']);
  });

  it('never leaves null, and never aborts what is concluded', () => {
    expect(transitions.null).toEqual([]);
    expect(mayFollow('concluded', 'aborting')).toBe(false);
  });

  it('accepts no verb in aborting and null, and only dismiss in concluded', () => {
    const accepted = (status: JobStatus): JobVerb[] =>
      (Object.keys(verbs) as JobVerb[]).filter((verb) => accepts(status, verb));
    expect(accepted('aborting')).toEqual([]);
    expect(accepted('null')).toEqual([]);
    expect(accepted('concluded')).toEqual(['dismiss']);
    expect(accepted('pending')).toEqual(['cancel', 'finalize']);
    expect(accepted('waiting')).toEqual(['cancel']);
    expect(accepted('standby')).toEqual(['cancel', 'pause', 'resume', 'set-speed', 'complete', 'change']);
  });
});
