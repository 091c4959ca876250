// What `npm start`, `npm test` and `npm run bench` do first: install the locked dependencies unless they are already
// there, then build. With `--check` also lint, formatting and types. Needs nothing but Node and npm.
import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const installed = resolve(root, 'node_modules/.package-lock.json');
const npm = (...args) => execFileSync('npm', args, { cwd: root, stdio: 'inherit' });

const fresh =
  existsSync(installed) &&
  statSync(installed).mtimeMs >= statSync(resolve(root, 'package-lock.json')).mtimeMs;
if (!fresh) npm('ci', '--no-audit', '--no-fund');
npm('run', '--silent', 'build');
if (process.argv.includes('--check')) npm('run', '--silent', 'check');
