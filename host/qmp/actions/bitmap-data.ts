/** What most actions and commands about bitmaps take. */
import { type AlternateType, str, struct, type TypeOf } from '../../qapi/types.ts';

export const bitmapData = struct('BlockDirtyBitmap', { node: str, name: str });

/** A bitmap of the node in question by its name, or any. */
export const bitmapOrName: AlternateType<string | TypeOf<typeof bitmapData>> = {
  kind: 'alternate',
  name: 'BlockDirtyBitmapOrStr',
  branches: () => [str, bitmapData],
};
