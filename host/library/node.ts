/** The library on Node: the same as in a page, with the service in this thread and files of the operating system. */
import { drivers } from '../drivers.ts';
import { nodePlatform } from '../platform/node/index.ts';
import { blob, registerBlob } from '../protocols/blob.ts';
import { startService } from './service.ts';
import { Blockyard } from './yard.ts';

/** A block layer of its own. It keeps the program running until it is closed. */
export async function openBlockyard(): Promise<Blockyard> {
  const { port1, port2 } = new MessageChannel();
  await startService(port2, { platform: nodePlatform, drivers: [...drivers, blob], registerBlob });
  return Blockyard.connect(port1, { fileDriver: 'file' });
}
