/** Runs every scenario against real QEMU and against ours, side by side. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bundle } from '../../support/cli.ts';
import {
  type Message,
  type QmpSession,
  runScript,
  startOurs,
  startProgram,
  startQemu,
  startStorageDaemon,
} from '../../support/qmp-sessions.ts';
import { scratchDirectory } from '../../support/scratch.ts';
import { haveQemu } from '../../support/tools.ts';
import { differences } from './differences.ts';
import type { Scenario } from './scenario.ts';

const scratch = scratchDirectory();

const suffix = '.scenarios.ts';
const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith(suffix));
const modules = new Map<string, { scenarios: readonly Scenario[] }>();
for (const name of files) modules.set(name, await import(`./${name}`));
const scenarios = [...modules.values()].flatMap((module) => module.scenarios);

for (const [name, { scenarios }] of modules) {
  describe.skipIf(!haveQemu)(name.slice(0, -suffix.length), () => {
    for (const scenario of scenarios) test(scenario.name, () => compare(scenario), 30_000);
  });
}

test('every difference belongs to a scenario', () => {
  const names = new Set(scenarios.map(({ name }) => name));
  expect(differences.flatMap((one) => one.scenarios).filter((name) => !names.has(name))).toEqual([]);
});

test('names of scenarios are unique', () => {
  const names = scenarios.map(({ name }) => name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});

async function compare(scenario: Scenario): Promise<void> {
  // File names show up in messages, and colons and slashes mean something in them.
  const name = scenario.name.replace(/[^a-z0-9]+/gi, '-');
  const real = scratch(`${name}.real`);
  const ours = scratch(`${name}.ours`);
  const images = prepared(scenario.prepare ?? []);
  // With their holes.
  for (const folder of [real, ours]) execFileSync('cp', ['-R', images, folder]);
  const [expected, actual] = await Promise.all([
    transcript(startReal(scenario, real), scenario),
    transcript(startOwn(scenario, ours), scenario),
  ]);
  const difference = differences.find((one) => one.scenarios.includes(scenario.name));
  const wanted = difference ? difference.adapt(expected, scenario.steps) : expected;
  expect(ordered(actual, scenario)).toEqual(ordered(wanted, scenario));
  for (const image of scenario.compare ?? []) sameContent(join(real, image), join(ours, image));
}

const folders = new Map<string, string>();

/** A folder with the images that the commands make, which are made once for all scenarios that have the same. */
function prepared(commands: readonly string[]): string {
  const all = ['set -e', ...commands].join('\n');
  let folder = folders.get(all);
  if (folder === undefined) {
    folder = scratch(`prepared${folders.size}`);
    mkdirSync(folder);
    execFileSync('sh', ['-c', all], { cwd: folder, stdio: 'pipe', timeout: 20_000 });
    folders.set(all, folder);
  }
  return folder;
}

function ordered(messages: readonly Message[], { comesAnyTime }: Scenario): Message[] {
  const isLate = ({ event }: Message): boolean => comesAnyTime !== undefined && event === comesAnyTime;
  return [...messages.filter((message) => !isLate(message)), ...messages.filter(isLate)];
}

function startReal({ program, options }: Scenario, cwd: string): QmpSession {
  return program === 'system' ? startQemu(cwd, options) : startStorageDaemon(cwd, options);
}

function startOwn({ program, options = [] }: Scenario, cwd: string): QmpSession {
  if (program !== 'system' && options.length === 0) return startOurs(cwd);
  const monitor =
    program === 'system'
      ? ['-nodefaults', '-display', 'none', '-qmp', 'stdio']
      : ['--chardev', 'stdio,id=monitor', '--monitor', 'monitor'];
  const all = program === 'system' ? [...monitor, ...options] : [...options, ...monitor];
  return startProgram(process.execPath, [bundle, program ?? 'storage-daemon', ...all], cwd);
}

async function transcript(session: QmpSession, scenario: Scenario): Promise<Message[]> {
  try {
    const messages = await runScript(session, [...scenario.steps, { execute: 'quit' }]);
    return messages.map((message) => untimed(scenario.normalise?.(message) ?? message));
  } finally {
    await session.close();
  }
}

/** Without what no two runs have in common. */
function untimed(message: Message): Message {
  const fixed: Record<string, unknown> = { 'actual-size': 0, 'date-sec': 0, 'date-nsec': 0, idle_time_ns: 0 };
  return JSON.parse(
    JSON.stringify(message, (key, value: unknown) => (key in fixed ? fixed[key] : value)),
  ) as Message;
}

function sameContent(real: string, ours: string): void {
  const format = ours.endsWith('.qcow2') ? 'qcow2' : 'raw';
  execFileSync('qemu-img', ['compare', '-U', '-f', format, '-F', format, real, ours], { stdio: 'pipe' });
  if (format === 'qcow2') execFileSync('qemu-img', ['check', '-q', '-f', format, ours], { stdio: 'pipe' });
}
