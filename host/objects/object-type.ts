/** What a type of user objects is: one file each in this folder, one line each in types.ts or host-types.ts. */
import type { BlockGraph } from '../block/graph.ts';
import type { GraphObject } from '../block/object-table.ts';
import type { StructType } from '../qapi/types.ts';
import type { QomObject } from './qom.ts';

export interface ObjectContext {
  readonly graph: BlockGraph;
}

export interface UserObject extends QomObject, GraphObject {
  /** It cannot be deleted. Absent: nobody needs it once it has been used. */
  readonly isInUse?: boolean;
  /** It is out of the tree, and was not in use. */
  deleted?(): void;
}

export interface ObjectType<Options extends object = object> {
  readonly name: string;
  /** Beyond `qom-type` and `id`. */
  readonly options: StructType<Options>;
  /** Errors: BlockError; nothing is left of it then. */
  create(context: ObjectContext, id: string, options: Options): UserObject | Promise<UserObject>;
}

/** A table holds types with different options; who reads it has checked them. */
export type AnyObjectType = Omit<ObjectType, 'create'> & {
  create(context: ObjectContext, id: string, options: never): UserObject | Promise<UserObject>;
};
