/** The library on Node: the same as in a page, with the service in this thread and files of the operating system. */
import { drivers } from '../drivers.ts';
import { Blobs } from '../platform/blobs.ts';
import { nodePlatform } from '../platform/node/index.ts';
import { blob } from '../protocols/blob.ts';
import { startService } from './service.ts';
import { Blockyard } from './yard.ts';

/** A block layer of its own. It keeps the program running until it is closed. */
export async function openBlockyard(): Promise<Blockyard> {
  const { port1, port2 } = new MessageChannel();
  const platform = { ...nodePlatform, blobs: new Blobs() };
  await startService(port2, { platform, drivers: [...drivers, blob] });
  return Blockyard.connect(port1, { fileDriver: 'file' });
}
