/** What the README says there is, is: its commands are those of the executable, its drivers those of host/README.md's table. */
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { commands } from '../../host/cli/commands.ts';
import { commands as imgCommands } from '../../host/cli/img/commands.ts';

const root = resolve(import.meta.dirname, '../..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The cells of each line of the table that begins with this heading, without those of its head. */
function tableOf(page: string, heading: string): string[][] {
  const [, rows = ''] =
    new RegExp(`^\\| ${heading} \\|.*\\n\\|[- |]*\\n((?:\\|.*\\n)+)`, 'm').exec(page) ?? [];
  return rows
    .trim()
    .split('\n')
    .map((row) => row.split('|').slice(1, -1))
    .map((cells) => cells.map((cell) => cell.trim()));
}

const namesIn = (cell: string): string[] => [...cell.matchAll(/`(.+?)`/g)].map(([, name]) => name!); // the group is no option

test('its commands are those of the executable', () => {
  const rows = tableOf(readme, 'command').map(([name, link]) => [namesIn(name!)[0], namesIn(link!)[0]]); // a row has both
  expect(rows).toEqual(commands.map(({ name, link }) => [name, link]));
});

test('img has those subcommands of qemu-img 10.0 that it says it has, and not the others', () => {
  const row = tableOf(readme, 'command').find(([name]) => name === '`img`')!; // the test above
  const [has, lacks] = row.slice(2).map((cell) => cell.replace(/:.*/, '').match(/\w+/g) ?? []);
  expect(has).toEqual(imgCommands.map(({ name }) => name));
  expect([...has!, ...lacks!].sort()).toEqual([
    ...['amend', 'bench', 'bitmap', 'check', 'commit', 'compare', 'convert', 'create', 'dd'],
    ...['info', 'map', 'measure', 'rebase', 'resize', 'snapshot'],
  ]);
});

test('its drivers are all there are, and can what is said', () => {
  const all = tableOf(readFileSync(join(root, 'host/README.md'), 'utf8'), 'driver').map((cells) => ({
    name: namesIn(cells[0]!)[0]!, // as test/conformance/capabilities.test.ts has made it
    isFilter: cells[1] === 'filter',
    can: [cells[2], cells[11], cells[13]],
  }));
  const told = tableOf(readme, 'driver').flatMap(([names, , ...can]) =>
    namesIn(names!).map((name) => [name, can] as const),
  );
  const drivers = all.filter(({ isFilter }) => !isFilter).map(({ name, can }) => [name, can] as const);
  expect(Object.fromEntries(told)).toEqual(Object.fromEntries(drivers));
  const filters = namesIn(/^Filters: (.*?)\. /m.exec(readme)![1]!); // or there is no such line
  expect(filters).toEqual(all.filter(({ isFilter }) => isFilter).map(({ name }) => name));
});

test('its picture is one, 1280 pixels wide, and small', () => {
  const [, path] = /!\[[^\]]+\]\((.+?)\)/.exec(readme)!; // or it shows none
  const picture = readFileSync(join(root, path!));
  expect(picture.toString('latin1', 1, 4)).toBe('PNG');
  expect(picture.readUInt32BE(16)).toBe(1280);
  expect(statSync(join(root, path!)).size).toBeLessThan(200 << 10);
});
