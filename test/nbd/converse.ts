/** A conversation with the server's side of the protocol, about a disk that is not there: for tests that say anything to it. */
import { Command, TransmissionFlag } from '../../host/nbd/constants.ts';
import type { OfferedExport } from '../../host/nbd/server/offer.ts';
import { ServerProtocol } from '../../host/nbd/server/protocol.ts';
import { Request } from '../../host/nbd/server/request.ts';

export const disk: OfferedExport = {
  name: 'disk',
  description: 'a disk',
  size: 1 << 20,
  flags: TransmissionFlag.hasFlags | TransmissionFlag.sendFlush,
  blockSizes: { minimum: 1, preferred: 4096, maximum: 1 << 20 },
  contexts: [{ id: 0, name: 'base:allocation' }],
};

const offer = {
  list: () => [disk],
  find: (name: string) => (name === disk.name ? disk : undefined),
  usesTls: false,
};

/** As memory may come: longer than asked for, and with anything in it. */
const memory = { take: (bytes: number) => new Uint8Array(bytes + 7).fill(0xee) };

/** What every READ gets. */
const nines = new Uint8Array(disk.size).fill(9);

/** What comes of the bytes: events in words, and what is sent. Each request is answered at once. */
export function converse(chunks: Iterable<Uint8Array>): { events: string[]; sent: Buffer } {
  const protocol = new ServerProtocol(offer, memory);
  const events: string[] = [];
  const sent: Uint8Array[] = [];
  for (const chunk of chunks) {
    protocol.receive(chunk);
    for (let event = protocol.next(); event; event = protocol.next()) {
      if (event instanceof Request) {
        const { command, offset, length, payload } = event;
        events.push(`${command} ${offset} ${length} ${payload?.length} ${payload?.at(-1)}`);
        if (command === Command.read) protocol.replies.data(event, offset, nines.subarray(0, length), true);
        else if (command === Command.blockStatus)
          protocol.replies.status(event, 0, [{ bytes: length, flags: 3 }], true);
        else protocol.replies.done(event);
      } else events.push(event.type === 'ended' ? `ended ${event.reason}` : event.type);
    }
    sent.push(...protocol.output.take().map(({ bytes }) => bytes));
  }
  return { events, sent: Buffer.concat(sent) };
}
