/** Numbers as people read them. */

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export const rate = (bytesPerSecond: number): string => `${bytes(bytesPerSecond)}/s`;

export function microseconds(value: number): string {
  if (value < 1000) return `${Math.round(value)} µs`;
  return value < 1e6 ? `${(value / 1000).toFixed(1)} ms` : `${(value / 1e6).toFixed(2)} s`;
}

export function count(value: number): string {
  return value < 10_000 ? String(Math.round(value)) : `${(value / 1000).toFixed(1)} k`;
}

/** A whole number with its digits in threes: 14 434. */
export const grouped = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f');

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;

/** The time of day, and the day unless it is today's. */
export function moment(when: Date, now: Date): string {
  const time = when.toLocaleTimeString();
  return when.toDateString() === now.toDateString() ? time : `${when.toLocaleDateString()} ${time}`;
}
