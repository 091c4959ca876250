/** Asks both, our tools and the real ones, about the images in one directory: nothing changes there. */
import { spawn } from 'node:child_process';
import { masked, type Outcome } from '../../support/cli.ts';
import { runOwn } from '../../support/own-tools.ts';
import type { Seeded } from '../../support/seeded.ts';

/** Where the real tool is at work for longer, there is no answer to compare with. */
const maxRunMs = 5000;

/** Undefined when it did not come to an end. */
export function askReal(directory: string, args: readonly string[]): Promise<Outcome | undefined> {
  return new Promise((settle, fail) => {
    const child = spawn('qemu-img', args, { cwd: directory, timeout: maxRunMs, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', fail);
    child.on('close', (status, signal) =>
      settle(signal === 'SIGKILL' ? undefined : masked({ status, stdout, stderr })),
    );
    child.stdin.end();
  });
}

export async function askOurs(directory: string, args: readonly string[]): Promise<Outcome> {
  const before = process.cwd();
  process.chdir(directory);
  try {
    return masked(await runOwn('qemu-img', [...args]));
  } finally {
    process.chdir(before);
  }
}

/** Command lines about the image `name`, of which `other` is another one. */
export function inventLines(random: Seeded, name: string, other: string): string[][] {
  const json = (): string[] => (random.oneIn(2) ? ['--output=json'] : []);
  const share = (): string[] => (random.oneIn(4) ? ['-U'] : []);
  const format = (): string[] => random.pick([[], [], [], ['-f', 'qcow2'], ['-f', 'qcow2'], ['-f', 'raw']]);
  const source = (file: string): string[] => {
    if (!random.oneIn(5)) return [...format(), file];
    const escaped = file.replaceAll(',', ',,');
    return [
      '--image-opts',
      random.pick([
        `driver=qcow2,file.driver=file,file.filename=${escaped}`,
        `file.filename=${escaped}`,
        `driver=raw,file.filename=${escaped}`,
        `driver=qcow2,backing=,file.filename=${escaped}`,
        escaped,
      ]),
    ];
  };
  const numbers = (): string[] =>
    random.pick([
      [],
      [],
      ['-s', String(random.below(1 << 21))],
      ['-l', String(random.below(1 << 20))],
      ['-s', '64k', '-l', '64k'],
      ['-s', `${random.below(3)}M`, '-l', '0'],
    ]);
  const target = (): string[] =>
    random.pick([
      [],
      ['-O', 'qcow2'],
      ['-O', 'qcow2', '-o', `cluster_size=${random.pick([512, 4096, 2097152])}`],
      ['-O', 'qcow2', '-o', `preallocation=${random.pick(['off', 'metadata', 'full'])}`],
    ]);
  return [
    ['info', ...json(), ...share(), ...source(name)],
    ['info', '--backing-chain', ...json(), ...share(), ...source(name)],
    ['check', ...json(), ...share(), ...source(name)],
    ['map', ...json(), ...share(), ...numbers(), ...source(name)],
    ['measure', ...json(), ...share(), ...target(), ...source(name)],
    ['compare', ...(random.oneIn(2) ? ['-s'] : []), ...share(), name, other],
    ['snapshot', '-l', ...share(), name],
  ];
}
