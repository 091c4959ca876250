/** The library on Node: the same as in a page, with the service in this thread and files of the operating system. */
import { drivers } from '../drivers.ts';
import { Blobs } from '../platform/blobs.ts';
import { findFirmware } from '../platform/node/firmware.ts';
import { nodePlatform } from '../platform/node/index.ts';
import { loadFile } from '../platform/node/load-file.ts';
import { publishTrace } from '../platform/node/trace-channels.ts';
import { blob } from '../protocols/blob.ts';
import { tracer } from '../trace/events.ts';
import { startService } from './service.ts';
import { Blockyard, type TraceOptions } from './yard.ts';

/**
 * A block layer of its own. It keeps the program running until it is closed. What is watched (`trace`: see
 * `Blockyard.trace`) is published on channels of `node:diagnostics_channel`, too.
 */
export async function openBlockyard({ trace }: { trace?: TraceOptions } = {}): Promise<Blockyard> {
  const { port1, port2 } = new MessageChannel();
  const platform = { ...nodePlatform, blobs: new Blobs() };
  const emulatorFiles = { loadFile, findFirmware };
  await startService(port2, { platform, drivers: [...drivers, blob], emulatorFiles });
  const yard = await Blockyard.connect(port1, { fileDriver: 'file', emulatorFiles });
  yard.whenClosed(tracer.attach(publishTrace, nodePlatform.clock));
  try {
    if (trace) await yard.trace(trace);
  } catch (error) {
    await yard.close();
    throw error;
  }
  return yard;
}
