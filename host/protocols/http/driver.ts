/**
 * The `http` and `https` protocols: a file on a web server, read in ranges (specification: graph, section 3.1).
 *
 * The server must answer requests of ranges. The file must stay as it is while it is open: when it changes, reads fail. What
 * opens and reads files is loaded when the first one is named: not everybody has one. Differences from QEMU: its `ftp` is not
 * served; options for secrets, proxies and unverified certificates are refused; a range is asked for in place of HEAD.
 */
import type { Driver, DriverDefinition } from '../../block/driver.ts';
import { loadPart } from '../../platform/platform.ts';
import { checkScheme, type HttpOptions, optionsOf, type Scheme, strongOptions } from './options.ts';
import type { PrefetchList } from './prefetch-list.ts';

export type { HttpOptions } from './options.ts';
export type { PrefetchList } from './prefetch-list.ts';

export const http = protocol('http');
export const https = protocol('https');

function protocol(scheme: Scheme): DriverDefinition<HttpOptions> {
  return {
    name: scheme,
    kind: 'protocol',
    options: optionsOf[scheme],
    strongOptions,
    filenamePrefix: scheme,
    parseFilename(filename) {
      checkScheme(scheme, filename);
      return { url: filename };
    },
    exactFilename: (given) => {
      const others = { ...given, sslverify: given.sslverify === true ? undefined : given.sslverify };
      const says = (name: string): boolean =>
        (others as HttpOptions)[name as keyof HttpOptions] !== undefined;
      return strongOptions.some((name) => name !== 'url' && says(name)) ? undefined : given.url;
    },
    async open(context, given) {
      const { openRemoteFile } = await loadPart(context.platform, () => import('./remote-file.ts'));
      return openRemoteFile(scheme, context, given);
    },
  };
}

/**
 * Which parts of the file were read since it was opened, in their order: to be put on the server as JSON, and named
 * with `x-prefetch`. Undefined for drivers other than these.
 */
export function prefetchListOf(driver: Driver): PrefetchList | undefined {
  return isRemoteFile(driver) ? driver.prefetchList() : undefined;
}

function isRemoteFile(driver: Driver): driver is Driver & { prefetchList(): PrefetchList } {
  return 'prefetchList' in driver;
}
