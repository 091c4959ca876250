/**
 * Loaded into a program before anything else (`node --require`), makes bugs for tests of what it does about them:
 * SIGUSR2 throws where nobody catches, SIGWINCH rejects where nobody handles; opening a file whose name has `bug-throws`
 * in it throws, with `bug-hangs` it never comes to an end. After SIGCONT nothing is ever flushed.
 */
const fs = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');

const madeUp = () => new TypeError('made up\nby a test');
process.on('SIGUSR2', () => {
  throw madeUp();
});
process.on('SIGWINCH', () => void Promise.reject(madeUp()));

const { open, fdatasync } = fs;
fs.open = (path, ...rest) => {
  if (String(path).includes('bug-throws')) throw madeUp();
  if (!String(path).includes('bug-hangs')) open(path, ...rest);
};
let flushes = true;
process.on('SIGCONT', () => {
  flushes = false;
});
fs.fdatasync = (fd, callback) => {
  if (flushes) fdatasync(fd, callback);
};
syncBuiltinESMExports();
