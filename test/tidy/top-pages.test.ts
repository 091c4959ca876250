/** What the pages at the top say of names in the code is so: the limits of SECURITY.md, the variables of CONTRIBUTING.md. */
import { describe, expect, test } from 'vitest';
import { read, tests } from './sources.ts';

describe('SECURITY.md', () => {
  const rows = [...read('SECURITY.md').matchAll(/^\| ((?:`\w+`(?:, )?)+) \| `(.*?)` \|/gm)];
  const limits = rows.flatMap(([, names, path]) =>
    [...names!.matchAll(/\w+/g)].map(([name]) => ({ name, path: path! })),
  );

  test('names limits that are there', () => {
    const wrong = limits.filter(
      ({ name, path }) => !new RegExp(`^(export )?const ${name}\\b`, 'm').test(read(path)),
    );
    expect(wrong).toEqual([]);
    expect(limits.length).toBeGreaterThan(25);
  });
});

describe('CONTRIBUTING.md', () => {
  test('names every variable that tests read', () => {
    const page = read('CONTRIBUTING.md');
    const variables = tests.flatMap(({ text }) =>
      [...text.matchAll(/process\.env\['(\w+)'\](?! = )/g)].map(([, name]) => name!),
    );
    expect(
      [...new Set(variables)].filter((name) => !page.includes(`\`${name}\``) && !page.includes(`\`${name}=`)),
    ).toEqual([]);
    expect(variables).toContain('FUZZ_SEED');
  });

  test('gives the values that hold when they are not set', () => {
    const code = tests.map(({ text }) => text).join('\n');
    const told = [...read('CONTRIBUTING.md').matchAll(/`([A-Z_]+)` \((\d+)\)/g)];
    const wrong = told.filter(([, name, value]) => !code.includes(`process.env['${name}'] ?? ${value})`));
    expect(wrong.map(([all]) => all)).toEqual([]);
    expect(told.length).toBeGreaterThan(10);
  });
});
