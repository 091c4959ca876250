/** Who runs this program, and where. */
import { hostname, userInfo } from 'node:os';
import type { ProcessIdentity } from '../platform.ts';

export function identity(): ProcessIdentity {
  return { username: username(), hostname: hostname(), pid: process.pid };
}

function username(): string {
  try {
    return userInfo().username;
  } catch {
    // Nobody in the list of users has our number.
    return String(process.getuid?.() ?? '');
  }
}
