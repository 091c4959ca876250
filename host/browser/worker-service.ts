/** The block layer over the storage of the browser. */
import { browserDrivers } from '../drivers-browser.ts';
import { browserPlatform } from '../platform/browser/index.ts';
import { registerBlob } from '../protocols/blob.ts';
import { startService } from './service.ts';

export function start(port: MessagePort): Promise<void> {
  return startService(port, { platform: browserPlatform, drivers: browserDrivers, registerBlob });
}
