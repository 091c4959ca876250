/** A chardev with a user who says the same to everybody. */
import { onTestFinished } from 'vitest';
import { BlockGraph } from '../../host/block/graph.ts';
import { Chardevs } from '../../host/cli/chardev/chardevs.ts';
import { nodePlatform } from '../../host/platform/node/index.ts';

interface Greeter {
  /** What was said about it. */
  readonly reports: readonly string[];
  close(): void;
}

/** The user says `hello`, and takes what is said to it. `graph`: whose objects the options may name. */
export async function greeter(
  options: string,
  graph: BlockGraph = new BlockGraph({ platform: nodePlatform, drivers: [] }),
): Promise<Greeter> {
  const reports: string[] = [];
  const report = (text: string): void => void reports.push(text);
  const chardevs = new Chardevs();
  const closeAll = (): void => chardevs.closeAll();
  onTestFinished(closeAll);
  await chardevs.add(options, { daemonize: false, graph, warn: report, info: report, report }, 'c');
  chardevs.use('c', {
    kind: 'control',
    connect(connection) {
      const ended = (): void => connection.close();
      connection.start({ data: () => {}, drained: () => {}, ended, closed: () => {} });
      connection.write(Buffer.from('hello\n'));
      return undefined;
    },
  });
  chardevs.serve({ commitAll: () => {}, end: () => {}, nowNs: () => 0 });
  return { reports, close: closeAll };
}
