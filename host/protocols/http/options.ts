/**
 * Options of the `http` and `https` drivers (specification: graph, section 3). `x-prefetch` and `x-retry` are our own.
 */
import { invalid } from '../../base/errors.ts';
import {
  bool,
  extend,
  int,
  optional,
  type StructType,
  size,
  str,
  struct,
  type TypeOf,
  worded,
} from '../../qapi/types.ts';

const base = struct('BlockdevOptionsCurlBase', {
  url: worded(str, { missing: "curl block driver requires an 'url' option" }),
  /** Bytes fetched beyond what is read by somebody who reads on; a multiple of 512. Grows while that goes on. */
  readahead: optional(size),
  /** Seconds that may pass without a byte of an answer; 0 is no limit. */
  timeout: optional(int),
  username: optional(str),
  'password-secret': optional(str),
  'proxy-username': optional(str),
  'proxy-password-secret': optional(str),
});
const cookies = struct('BlockdevOptionsCurlCookies', {
  /** The value of the `Cookie` header. */
  cookie: optional(str),
  'cookie-secret': optional(str),
});
const own = struct('BlockdevOptionsCurlOwn', {
  /** URL of a prefetch list, relative to that of the image. */
  'x-prefetch': optional(str),
  /** Seconds for which a request is tried again that fails for a passing cause; 0: it fails at once. */
  'x-retry': optional(int),
});
const tls = struct('BlockdevOptionsCurlTls', { sslverify: optional(bool) });

const plain = extend('BlockdevOptionsCurlHttp', extend('', base, cookies), own);
const secure = extend('BlockdevOptionsCurlHttps', extend('', extend('', base, cookies), tls), own);

export type HttpOptions = TypeOf<typeof base> &
  TypeOf<typeof cookies> &
  TypeOf<typeof tls> &
  TypeOf<typeof own>;

export type Scheme = 'http' | 'https';

export const optionsOf: Readonly<Record<Scheme, StructType<HttpOptions>>> = { http: plain, https: secure };

/** Those that change what is seen. */
export const strongOptions = [
  'url',
  'sslverify',
  'cookie',
  'cookie-secret',
  'username',
  'password-secret',
  'proxy-username',
  'proxy-password-secret',
];

export function checkScheme(scheme: Scheme, url: string): void {
  if (!url.startsWith(`${scheme}://`)) {
    throw invalid(
      `${scheme} curl driver cannot handle the URL '${url}' (does not start with '${scheme}://')`,
    );
  }
}
