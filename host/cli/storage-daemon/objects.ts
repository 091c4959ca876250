/** `--object [qom-type=]TYPE,id=ID,…`: object-add on the command line; the argument may be JSON. */
import { parseOption } from '../../qapi/keyval-values.ts';
import type { QmpServer } from '../../qmp/server.ts';

/** Errors: BlockError, a type that is not served among them. */
export function addObject(server: QmpServer, text: string): Promise<void> {
  return server.runLocally('object-add', (type) => parseOption(type, text, 'qom-type'));
}
