/** Web servers as they are (web-behaviour.ts), over real connections on the loopback interface, for pages of any origin. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LoopbackServer } from './loopback-server.ts';
import type { BehavingFile } from './web-behaviour.ts';

const exposed = 'Accept-Ranges, Content-Encoding, Content-Range, ETag, Retry-After';

export class SwitchedServer extends LoopbackServer {
  /** What every path leads to. */
  file: BehavingFile | undefined;

  protected answer({ method = '', headers: { range } }: IncomingMessage, response: ServerResponse): void {
    const { file } = this;
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    const { fate, status, headers, body, stopsAt } = file.answer({ method, range });
    if (fate === 'reset') response.destroy();
    if (fate) return;
    response.writeHead(status, {
      ...headers,
      'access-control-allow-origin': '*',
      ...(!file.behaviour.hides && { 'access-control-expose-headers': exposed }),
    });
    if (!stopsAt) {
      response.end(method === 'HEAD' ? undefined : body);
      return;
    }
    response.flushHeaders();
    response.write(body.subarray(0, stopsAt.bytes), () => {
      if (stopsAt.how === 'reset') response.destroy();
    });
  }
}
