/**
 * The browser as a platform. In a dedicated worker all of it is there; a page has everything but files, which it cannot
 * open without waiting. Nothing here needs cross-origin isolation.
 */
import { type Console, type Fetch, type Platform, ProgramEnded } from '../platform.ts';
import { clock } from './clock.ts';
import { codecs } from './codecs.ts';
import { OpfsFiles } from './files.ts';
import { random } from './random.ts';

const log: Console = {
  stdout: (line) => console.log(line),
  stderr: (line) => console.warn(line),
  fatal(line) {
    console.error(line);
    throw new ProgramEnded(line);
  },
};

const browserFetch: Fetch = (url, { method, headers, signal }) =>
  fetch(url, { method, headers: { ...headers }, signal });

export const browserPlatform: Platform = {
  clock,
  random,
  files: new OpfsFiles(),
  codecs,
  console: log,
  fetch: browserFetch,
};
