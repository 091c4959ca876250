/** Completion scripts, as each shell that is installed completes by them. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { commands } from '../../host/cli/commands.ts';
import { main } from '../../host/cli/completion/main.ts';
import { allWords } from '../../host/cli/completion/words.ts';
import { commands as imageCommands } from '../../host/cli/img/commands.ts';
import { bundle } from '../support/cli.ts';
import { scratchDirectory } from '../support/scratch.ts';

/** The executable has this one beside them. */
const known = [...commands, { name: 'completion', help: 'prints a script' }];
const scratch = scratchDirectory();
/** A folder with the executable, and links to it; one of QEMU's names is that of another program. */
const bin = scratch('bin');
const { PATH: path } = process.env;
const env = { ...process.env, PATH: `${bin}:${path}` };

beforeAll(() => {
  mkdirSync(bin);
  for (const name of ['blockyard', 'qemu-img', 'qemu-storage-daemon', 'qemu-system-x86_64'])
    symlinkSync(bundle, `${bin}/${name}`);
  symlinkSync('/bin/true', `${bin}/qemu-io`);
});

async function run(...argv: string[]): Promise<{ status: number; out: string; error: string }> {
  const printed = { out: '', error: '' };
  const terminal = {
    out: (text: string) => void (printed.out += text),
    error: (text: string) => void (printed.error += text),
  };
  return { status: await main(argv, 'blockyard completion', known, terminal), ...printed };
}

/** In file `name`. */
async function writeScript(shell: string): Promise<string> {
  const file = scratch(`script.${shell}`);
  writeFileSync(file, (await run(shell)).out);
  return file;
}

const lacks = (shell: string): boolean => spawnSync(shell, ['--version']).status !== 0;

describe.skipIf(lacks('bash'))('in bash', () => {
  let script: string;

  beforeAll(async () => {
    script = await writeScript('bash');
  });

  /** What the last of the words may become, `program` among the words. */
  function completed(...words: string[]): string[] {
    const ask =
      'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _blockyard; for word in "$' +
      '{COMPREPLY[@]}"; do echo "$word"; done';
    const { stdout, stderr } = spawnSync('bash', ['-c', ask, 'bash', script, ...words], {
      encoding: 'utf8',
      env,
    });
    expect(stderr).toBe('');
    return stdout.split('\n').filter((word) => word !== '');
  }

  test('commands are completed', () => {
    expect(completed('blockyard', '')).toEqual(['help', ...known.map(({ name }) => name)]);
    expect(completed('blockyard', 's')).toEqual(['storage-daemon', 'system']);
    expect(completed('blockyard', 'help', 'i')).toEqual(['img', 'io']);
    expect(completed('blockyard', 'img', 'c')).toEqual(
      imageCommands.map(({ name }) => name).filter((name) => name.startsWith('c')),
    );
    expect(completed('blockyard', 'help', 'img', 'conv')).toEqual(['convert']);
    expect(completed('blockyard', 'completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });

  test('options are, of the command that they are for', () => {
    expect(completed('blockyard', 'img', 'convert', '--target')).toEqual([
      '--target-image-opts',
      '--target-is-zero',
    ]);
    expect(completed('blockyard', 'img', 'info', '--target')).toEqual([]);
    expect(completed('blockyard', 'io', 'disk.img', '--im')).toEqual(['--image-opts']);
    expect(completed('blockyard', 'web', '--tls')).toEqual(['--tls', '--tls-cert', '--tls-key']);
    expect(completed('blockyard', 'vm', '-hda', 'x', '-ker')).toEqual(['-kernel']);
    expect(completed('blockyard', 'system', '-ker')).toEqual([]);
    expect(completed('blockyard', 'storage-daemon', '--bl')).toEqual(['--blockdev']);
    expect(completed('blockyard', 'demo', '--t')).toEqual(['--trace']);
  });

  test('a link is completed as the command that it is, if it is one', () => {
    expect(completed('qemu-img', 'conv')).toEqual(['convert']);
    expect(completed('/usr/bin/qemu-img', 'convert', '--target-is')).toEqual(['--target-is-zero']);
    expect(completed('qemu-storage-daemon', '--bl')).toEqual(['--blockdev']);
    expect(completed('qemu-system-x86_64', '-hda', 'x', '-qtest-')).toEqual(['-qtest-log']);
    const listed = spawnSync('bash', ['-c', 'source "$1"; complete -p', 'bash', script], {
      encoding: 'utf8',
      env,
    });
    expect(listed.stdout.match(/\S+$/gm)?.sort()).toEqual([
      'blockyard',
      'qemu-img',
      'qemu-storage-daemon',
      'qemu-system-x86_64',
    ]);
  });

  test('and what is no option is left to names of files', () => {
    expect(completed('blockyard', 'img', 'info', 'dis')).toEqual([]);
    expect(completed('blockyard', 'web', '')).toEqual([]);
  });
});

describe.skipIf(lacks('zsh'))('in zsh', () => {
  /** What each line becomes when Tab is pressed behind it, in a shell with a terminal. */
  async function completed(...lines: string[]): Promise<string[]> {
    const start = [
      'PS1=; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -D',
      `source ${await writeScript('zsh')}`,
      'show() { print -r -- "<$BUFFER>"; BUFFER= }; zle -N show; bindkey "^X" show; print REA""DY',
    ];
    const driver = `
      zmodload zsh/zpty
      zpty shell zsh -f -i
      zpty -w shell "$1"
      zpty -r shell said '*READY*'
      for line in "\${@[2,-1]}"; do
        zpty -w -n shell "$line"$'\\t\\x18'
        zpty -r shell said '*<*>*'
        print -r -- "\${\${said##*<}%%>*}"
      done
      zpty -d shell`;
    const out = execFileSync('zsh', ['-f', '-c', driver, 'zsh', start.join('; '), ...lines], {
      encoding: 'utf8',
      env,
      cwd: scratch(''),
      timeout: 30_000,
    });
    return out.trimEnd().split('\n');
  }

  test('commands, options, files and links are completed', async () => {
    writeFileSync(scratch('unique.qcow2'), '');
    expect(
      await completed(
        'blockyard img conv',
        'blockyard help img snap',
        'blockyard img convert --target-is',
        'blockyard vm -hda x -ker',
        'blockyard completion fi',
        'blockyard img info uniq',
        'qemu-img resi',
        'qemu-storage-daemon --bl',
        'qemu-io --image',
      ),
    ).toEqual([
      'blockyard img convert ',
      'blockyard help img snapshot ',
      'blockyard img convert --target-is-zero ',
      'blockyard vm -hda x -kernel ',
      'blockyard completion fish ',
      'blockyard img info unique.qcow2 ',
      'qemu-img resize ',
      'qemu-storage-daemon --blockdev ',
      'qemu-io --image',
    ]);
  });
});

describe.skipIf(lacks('fish'))('in fish', () => {
  let script: string;

  beforeAll(async () => {
    script = await writeScript('fish');
  });

  /** The words that this line may end with. */
  function completed(line: string): string[] {
    const ask = 'source $argv[1]; complete -C $argv[2]';
    // As if at home: nobody's own completions.
    const home = { ...env, HOME: scratch(''), XDG_CONFIG_HOME: scratch('') };
    const words = ['--no-config', '-c', ask, script, line];
    const out = execFileSync('fish', words, { encoding: 'utf8', env: home, cwd: bin });
    return out
      .split('\n')
      .filter((found) => found !== '')
      .map((found) => found.split('\t', 1)[0]!); // there is a first part
  }

  test('commands, options, files and links are completed', () => {
    expect(completed('blockyard s')).toEqual(['storage-daemon', 'system']);
    expect(completed('blockyard help img snap')).toEqual(['snapshot']);
    expect(completed('blockyard help i')).toEqual(['img', 'io']);
    expect(completed('blockyard img convert --target-')).toEqual(['--target-image-opts', '--target-is-zero']);
    expect(completed('blockyard img info --target-')).toEqual([]);
    expect(completed('blockyard vm -hda x -ker')).toEqual(['-kernel']);
    expect(completed('blockyard completion ')).toEqual(['bash', 'fish', 'zsh']);
    expect(completed('blockyard img info blocky')).toEqual(['blockyard']);
    expect(completed('qemu-img resi')).toEqual(['resize']);
    expect(completed('qemu-img resize --shr')).toEqual(['--shrink']);
    expect(completed('qemu-storage-daemon --bl')).toEqual(['--blockdev']);
    expect(completed('qemu-io --image')).toEqual([]);
  });
});

test('each option of each command has a sentence', async () => {
  const words = await allWords(known);
  const all = words.flatMap((command) => [command, ...command.subcommands]);
  const without = all.flatMap(({ name, options }) =>
    options.filter(({ help }) => help === '').map(({ spellings }) => `${name} ${spellings.join(', ')}`),
  );
  expect(without).toEqual([]);
  const unnamed = all.flatMap(({ name, options }) =>
    options.filter(({ argument }) => argument === 'VALUE').map((option) => `${name} ${option.spellings}`),
  );
  expect(unnamed).toEqual([]);
});

test('another shell is refused', async () => {
  expect(await run('csh')).toMatchObject({ status: 1, out: '' });
  expect((await run()).error).toContain('Name a shell');
  expect(await run('--help')).toMatchObject({ status: 0, error: '' });
});
