/** The objects that users have made: object-add, object-del and `--object` (specification: throttling, section 4). */
import { invalid } from '../base/errors.ts';
import { objectTableOf } from '../block/object-table.ts';
import { checkIdentifier } from '../qapi/identifier.ts';
import type { AnyObjectType, ObjectContext, UserObject } from './object-type.ts';
import { type QomObject, type QomProperty, QomTree } from './qom.ts';
import { refusalOf } from './refused-types.ts';
import { type ObjectOptions, objectTypes } from './types.ts';

export class UserObjects {
  /** All objects there are, those of users below `/objects`. */
  readonly tree = new QomTree();
  private readonly byId = new Map<string, UserObject>();

  constructor(
    private readonly context: ObjectContext,
    private readonly types: readonly AnyObjectType[] = objectTypes,
  ) {
    const children: ReadonlyMap<string, QomObject> = this.byId;
    const properties: readonly QomProperty[] = [];
    this.tree.mount({ name: 'objects', object: { typeName: 'container', properties, children } });
  }

  /** By id, newest first. */
  entries(): [string, UserObject][] {
    return [...this.byId].reverse();
  }

  /** `options` have been checked against ObjectOptions. Errors: QEMU's words. */
  async add({ 'qom-type': typeName, id, ...options }: ObjectOptions): Promise<void> {
    checkIdentifier(id);
    const type = this.types.find(({ name }) => name === typeName);
    if (!type) throw invalid(refusalOf(typeName));
    if (this.byId.has(id)) {
      throw invalid(`attempt to add duplicate property '${id}' to object (type 'container')`);
    }
    // Checked against the type's own declaration, as part of the union.
    const object = await type.create(this.context, id, options as never);
    this.byId.set(id, object);
    objectTableOf(this.context.graph).set(id, object);
  }

  remove(id: string): void {
    const object = this.byId.get(id);
    if (!object) throw invalid(`object '${id}' not found`);
    if (object.isInUse) throw invalid(`object '${id}' is in use, can not be deleted`);
    this.byId.delete(id);
    objectTableOf(this.context.graph).delete(id);
    object.deleted?.();
  }
}
