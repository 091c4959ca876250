/** What most actions and commands about bitmaps take. */
import { str, struct } from '../../qapi/types.ts';

export const bitmapData = struct('BlockDirtyBitmap', { node: str, name: str });
