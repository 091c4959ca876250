/** The commands of `io`, in the order of `help`, and how one line is run. */
import { aioFlush, aioRead, aioWrite } from './asynchronous.ts';
import { breakAt, removeBreak, resume, waitBreak } from './breakpoints.ts';
import type { IoCommand } from './command.ts';
import { abort, helpOn, quit, sigraise, sleep } from './control.ts';
import { alloc, info, length, map, truncate } from './inspect.ts';
import { close, open, reopen } from './opening.ts';
import { discard, flush, read, readv, write, writev } from './read-write.ts';
import { zoneCommands } from './zones.ts';

const unsorted: readonly IoCommand[] = [
  read,
  readv,
  write,
  writev,
  aioRead,
  aioWrite,
  aioFlush,
  flush,
  discard,
  truncate,
  alloc,
  map,
  length,
  info,
  open,
  close,
  reopen,
  breakAt,
  removeBreak,
  resume,
  waitBreak,
  sleep,
  sigraise,
  abort,
  ...zoneCommands,
  helpOn(() => commands),
  quit,
];

export const commands: readonly IoCommand[] = [...unsorted].sort((a, b) => (a.name < b.name ? -1 : 1));
