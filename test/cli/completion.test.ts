/** Completion scripts: of bash as bash completes by it, of the others by what they have. */
import { spawnSync } from 'node:child_process';
import { beforeAll, describe, expect, test } from 'vitest';
import { commands } from '../../host/cli/commands.ts';
import { main } from '../../host/cli/completion/main.ts';
import { commands as imageCommands } from '../../host/cli/img/commands.ts';

/** The executable has this one beside them. */
const known = [...commands, { name: 'completion', help: 'prints a script' }];

async function run(...argv: string[]): Promise<{ status: number; out: string; error: string }> {
  const printed = { out: '', error: '' };
  const terminal = {
    out: (text: string) => void (printed.out += text),
    error: (text: string) => void (printed.error += text),
  };
  return { status: await main(argv, 'blockyard completion', known, terminal), ...printed };
}

describe.skipIf(spawnSync('bash', ['--version']).status !== 0)('in bash', () => {
  let script: string;

  beforeAll(async () => {
    script = (await run('bash')).out;
  });

  /** What the last of the words may become. */
  function completed(...words: string[]): string[] {
    const ask =
      'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _blockyard; for word in "$' +
      '{COMPREPLY[@]}"; do echo "$word"; done';
    const { stdout, stderr } = spawnSync('bash', ['-c', `${script}\n${ask}`, 'bash', 'blockyard', ...words], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    return stdout.split('\n').filter((word) => word !== '');
  }

  test('commands are completed', () => {
    expect(completed('')).toEqual(['help', ...known.map(({ name }) => name)]);
    expect(completed('s')).toEqual(['storage-daemon', 'system']);
    expect(completed('help', 'i')).toEqual(['img', 'io']);
    expect(completed('img', 'c')).toEqual(
      imageCommands.map(({ name }) => name).filter((name) => name.startsWith('c')),
    );
    expect(completed('help', 'img', 'conv')).toEqual(['convert']);
    expect(completed('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });

  test('options are, of the command that they are for', () => {
    expect(completed('img', 'convert', '--target')).toEqual(['--target-image-opts', '--target-is-zero']);
    expect(completed('img', 'info', '--target')).toEqual([]);
    expect(completed('io', 'disk.img', '--im')).toEqual(['--image-opts']);
    expect(completed('web', '--tls')).toEqual(['--tls', '--tls-cert', '--tls-key']);
    expect(completed('vm', '-hda', 'x', '-ker')).toEqual(['-kernel']);
    expect(completed('system', '-ker')).toEqual([]);
    expect(completed('storage-daemon', '--bl')).toEqual(['--blockdev']);
    expect(completed('demo', '--t')).toEqual(['--trace']);
  });

  test('and what is no option is left to names of files', () => {
    expect(completed('img', 'info', 'dis')).toEqual([]);
    expect(completed('web', '')).toEqual([]);
  });
});

test('zsh takes the script of bash', async () => {
  const { out } = await run('zsh');
  expect(out).toContain('bashcompinit\n_blockyard() {\n');
});

test('fish has each command and option in a line', async () => {
  const { out } = await run('fish');
  expect(out).toContain(
    "complete -c blockyard -n '__fish_use_subcommand' -a io -d 'read and write disk images",
  );
  expect(out).toMatch(/from img; and not .* -a convert -d /);
  expect(out).toMatch(/from img; and __fish_seen_subcommand_from convert' -l target-is-zero$/m);
  expect(out).toMatch(/from vm' -o kernel -r$/m);
  for (const line of out.trimEnd().split('\n').slice(1)) {
    expect(line).toMatch(/^complete -c blockyard -n '[^']+' (-[slo] \S+( -r)?|-a \S+ -d '([^'\\]|\\.)*')$/);
  }
});

test('another shell is refused', async () => {
  expect(await run('csh')).toMatchObject({ status: 1, out: '' });
  expect((await run()).error).toContain('Name a shell');
  expect(await run('--help')).toMatchObject({ status: 0, error: '' });
});
