/** What each driver can: the table of host/README.md is made from the definitions, and from what opened nodes do. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { BlockError } from '../../host/base/errors.ts';
import type { BlockBackend } from '../../host/block/backend.ts';
import type { Driver, DriverDefinition } from '../../host/block/driver.ts';
import { drivers } from '../../host/drivers.ts';
import { browserDrivers } from '../../host/drivers-browser.ts';
import { diskBytes } from './checks.ts';
import { allDrivers, type Stack, simulate, stacks, withStack } from './stacks.ts';

const columns = [
  'driver',
  'kind',
  'write',
  'zeroes',
  'discard',
  'status',
  'resize',
  'compressed',
  'backing',
  'snapshots',
  'bitmaps',
  'create',
  'check',
  'where',
] as const;

const yes = (has: unknown): string => (has === undefined || has === false ? '' : 'yes');

/** `own`: the driver's part in it, absent where the block layer does what there is to do. */
function part(own: unknown, { kind }: DriverDefinition, otherwise: string): string {
  if (own !== undefined) return 'yes';
  return kind === 'filter' ? 'passes' : otherwise;
}

async function canResize(disk: BlockBackend): Promise<boolean> {
  try {
    await disk.truncate(2 * diskBytes, { preallocation: 'off' });
    return true;
  } catch (error) {
    if (error instanceof BlockError && ['ENOTSUP', 'EACCES', 'EINVAL'].includes(error.errno)) return false;
    throw error;
  }
}

function where(definition: DriverDefinition): string {
  if (!drivers.includes(definition)) return 'pages';
  return browserDrivers.includes(definition) ? 'both' : 'Node';
}

async function rowOf(definition: DriverDefinition, stack: Stack, disk: BlockBackend): Promise<string[]> {
  const { driver }: { driver: Driver } = disk.node;
  const isWritten = stack.writable !== 'never';
  const isFilter = definition.kind === 'filter';
  return [
    `\`${definition.name}\``,
    definition.kind,
    isWritten ? (driver.write || driver.prepareWrite || !isFilter ? 'yes' : 'passes') : '',
    isWritten ? part(driver.writeZeroes, definition, 'as data') : '',
    part(driver.discard, definition, ''),
    part(driver.map, definition, ''),
    (await canResize(disk)) ? part(driver.truncate, definition, '') : '',
    part(driver.writeCompressed, { ...definition, kind: 'format' }, ''),
    yes(definition.supportsBacking),
    part(driver.snapshots, definition, ''),
    yes(driver.bitmapStorage),
    yes(definition.create),
    yes(definition.check),
    where(definition),
  ];
}

test('host/README.md has the table of what each driver can', async () => {
  const rows: string[][] = [];
  for (const definition of allDrivers) {
    const stack = stacks[definition.name]!; // nodes.test.ts sees to it
    await withStack(simulate(1, {}), stack, async (disk) => {
      rows.push(await rowOf(definition, stack, disk));
    });
  }
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const table = [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n');
  const readme = readFileSync(resolve(import.meta.dirname, '../../host/README.md'), 'utf8');
  expect(readme.match(/^\| driver \| kind[\s\S]*?\n(?=\n)/m)?.[0]).toBe(`${table}\n`);
});
