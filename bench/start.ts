/** From nothing to an answer: what commands take to start, next to QEMU's and to a Node that runs nothing. */
import { comparison, timed } from './compare.ts';
import { QmpChild } from './qmp.ts';
import type { Report, Sample } from './report.ts';
import { type Command, ours, theirs } from './side.ts';

const monitor = ['--chardev', 'stdio,id=c', '--monitor', 'chardev=c'];
const machine = ['-machine', 'none', '-nodefaults', '-display', 'none', '-qmp', 'stdio'];
/** Small times: three times as many rounds as elsewhere. */
const moreRounds = 3;

export async function benchStart(report: Report, rounds: number, images: { qcow2: string }): Promise<void> {
  report.heading('cold start');
  const compare = comparison(report, rounds * moreRounds);
  const floor = { name: 'bare Node', measure: timed({ program: process.execPath, args: ['-e', '0'] }) };
  const args = ['info', images.qcow2];
  const info = theirs('qemu-img', ...args);
  // Older ones do more at a start, and that once more for us.
  const isRecent = Number(process.versions.node.split('.')[0]) >= 22;
  await compare('img info', 's', 'lower', {
    ours: timed(ours('img', ...args)),
    theirs: info && timed(info),
    floor,
    mostOfFloor: isRecent ? 1.25 : 1.4,
    headline: '`img info`, from start to end',
  });
  for (const [name, own, tool, options] of [
    ['storage-daemon answers', ours('storage-daemon', ...monitor), 'qemu-storage-daemon', monitor],
    ['system answers', ours('system', ...machine), 'qemu-system-x86_64', machine],
  ] as const) {
    const real = theirs(tool, ...options);
    await compare(name, 's', 'lower', {
      ours: answered(own),
      theirs: real && answered(real),
      floor,
      mostOfFloor: 2,
    });
  }
}

/** From the start of a process to its first answer on QMP. */
function answered(command: Command): () => Promise<Sample> {
  return async () => {
    const start = process.hrtime.bigint();
    const qmp = await QmpChild.start(command);
    const seconds = Number(process.hrtime.bigint() - start) / 1e9;
    await qmp.quit();
    return { value: seconds };
  };
}
