/** Opens a driver without a graph, with flags as a test wants them. */
import { invalid } from '../../host/base/errors.ts';
import type { Driver, DriverDefinition } from '../../host/block/driver.ts';
import type { OpenContext, OpenFlags, TroubleReport } from '../../host/block/open-context.ts';
import { type NodeOptions, ownOptions } from '../../host/block/options.ts';
import type { Platform } from '../../host/platform/platform.ts';

export interface OpenedDriver {
  driver: Driver;
  warnings: string[];
  /** What was told of trouble; undefined when it was over. */
  troubles: (TroubleReport | undefined)[];
  fellBack: boolean;
}

/** Only for drivers without children. */
export async function openDriver<O extends object>(
  definition: DriverDefinition<O>,
  platform: Platform,
  options: NodeOptions,
  flags: Partial<OpenFlags> = {},
): Promise<OpenedDriver> {
  const opened = {
    warnings: [] as string[],
    troubles: [] as (TroubleReport | undefined)[],
    fellBack: false,
  };
  const context: OpenContext = {
    platform,
    nodeName: 'node0',
    flags: {
      readOnly: false,
      inactive: undefined,
      autoReadOnly: false,
      direct: false,
      noFlush: false,
      discard: true,
      detectZeroes: 'off',
      forceShare: false,
      aio: undefined,
      noIo: false,
      check: false,
      ...flags,
    },
    fallBackToReadOnly: () => {
      opened.fellBack = true;
    },
    openChild: () => Promise.reject(new Error('no children here')),
    openNamedFile: () => Promise.reject(new Error('no children here')),
    childNames: () => [],
    backingLength: () => 0,
    hasBacking: () => false,
    backingDriver: () => undefined,
    self: {
      read: () => Promise.reject(new Error('no mapping here')),
      write: () => Promise.reject(new Error('no mapping here')),
      readsAsZeros: async () => false,
    },
    reportCorruption: () => {},
    isNamedByImage: false,
    secret: (id) => {
      throw invalid(`No secret with id '${id}'`);
    },
    credentials: (id) => {
      throw invalid(`No TLS credentials with id '${id}'`);
    },
    reportTrouble: (trouble) => void opened.troubles.push(trouble),
    warn: (message) => void opened.warnings.push(message),
    warnOnce: (message) => void opened.warnings.push(message),
  };
  return Object.assign(opened, { driver: await definition.open(context, ownOptions(definition, options)) });
}
