/** Times as repositories have them (RFC 3339). */
import type { Clock } from '../platform/platform.ts';

/** Now, in UTC, to the microsecond. */
export function rfc3339(clock: Pick<Clock, 'wallClock'>): string {
  const { seconds, microseconds } = clock.wallClock();
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  return `${whole}.${String(microseconds).padStart(6, '0')}Z`;
}
