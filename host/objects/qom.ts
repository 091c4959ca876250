/**
 * The object model: a tree of objects with properties that clients look at and change by path, with qom-list,
 * qom-get and qom-set (specification: throttling, section 4; qmp-protocol, section 9).
 *
 * A path with a leading `/` starts at the root. Any other names an object anywhere in the tree whose path ends in it,
 * if there is just one. What the tree holds is its owners' affair: user objects are below `/objects`, and whoever has
 * more to show hangs it into the root.
 */
import { BlockError, invalid } from '../base/errors.ts';
import type { JsonValue } from '../qapi/json-value.ts';

export interface QomProperty {
  readonly name: string;
  /** As qom-list shows it: `int`, `string`, `link<block-backend>`. */
  readonly type: string;
  readonly description?: string;
  /** Absent: not readable. */
  get?(): unknown;
  /** Absent: not writable. */
  set?(value: JsonValue): void | Promise<void>;
  /** Of a link: where paths lead that go through it. */
  target?(): QomObject | undefined;
}

export interface QomObject {
  readonly typeName: string;
  /** Beyond `type`, which every object has, and the children. */
  readonly properties: readonly QomProperty[];
  /** The objects below, by name. */
  readonly children?: ReadonlyMap<string, QomObject>;
  /** Commands that want a device take it. */
  readonly isDevice?: boolean;
}

/** A part of the tree that somebody other than the user has made. */
interface QomRoot {
  /** Its name below `/`. */
  readonly name: string;
  readonly object: QomObject;
}

/** An object that does nothing but hold others. */
export class QomContainer implements QomObject {
  readonly typeName: string = 'container';
  readonly properties: readonly QomProperty[] = [];
  readonly children = new Map<string, QomObject>();
}

export class QomTree {
  private readonly root = new QomContainer();

  mount({ name, object }: QomRoot): void {
    this.root.children.set(name, object);
  }

  /** Errors: DeviceNotFound; a path that could mean several objects. */
  resolve(path: string): QomObject {
    const parts = path.split('/').filter((part) => part !== '');
    const found = path.startsWith('/') ? [walk(this.root, parts)] : this.findAnywhere(parts);
    const [object, another] = [...new Set(found.filter((candidate) => candidate !== undefined))];
    if (!object) throw deviceNotFound(path);
    if (another) throw invalid(`Path '${path}' is ambiguous`);
    return object;
  }

  /** The absolute path of an object of the tree, undefined for any other. */
  pathOf(wanted: QomObject): string | undefined {
    for (const [path, object] of this.everything()) if (object === wanted) return path || '/';
    return undefined;
  }

  /** `type`, the children and the object's own. */
  propertiesOf(object: QomObject): QomProperty[] {
    const properties: QomProperty[] = [{ name: 'type', type: 'string', get: () => object.typeName }];
    for (const [name, child] of object.children ?? []) {
      properties.push({ name, type: `child<${child.typeName}>`, get: () => this.pathOf(child) });
    }
    return [...properties, ...object.properties];
  }

  get(object: QomObject, name: string): unknown {
    const property = this.propertyOf(object, name);
    if (!property.get) throw invalid(`Property '${object.typeName}.${name}' is not readable`);
    return property.get();
  }

  async set(object: QomObject, name: string, value: JsonValue): Promise<void> {
    const property = this.propertyOf(object, name);
    if (!property.set) throw invalid(`Property '${object.typeName}.${name}' is not writable`);
    await property.set(value);
  }

  private propertyOf(object: QomObject, name: string): QomProperty {
    const property = this.propertiesOf(object).find((candidate) => candidate.name === name);
    if (!property) throw invalid(`Property '${object.typeName}.${name}' not found`);
    return property;
  }

  private findAnywhere(parts: readonly string[]): (QomObject | undefined)[] {
    return [...this.everything()].map(([, object]) => walk(object, parts));
  }

  private *everything(path = '', object: QomObject = this.root): Generator<[string, QomObject]> {
    yield [path, object];
    for (const [name, child] of object.children ?? []) yield* this.everything(`${path}/${name}`, child);
  }
}

function walk(start: QomObject, parts: readonly string[]): QomObject | undefined {
  let object: QomObject | undefined = start;
  for (const part of parts) {
    const link: QomProperty | undefined = object?.properties.find(({ name }) => name === part);
    object = object?.children?.get(part) ?? link?.target?.();
  }
  return object;
}

export function deviceNotFound(path: string): BlockError {
  return new BlockError('ENODEV', `Device '${path}' not found`, { class: 'DeviceNotFound' });
}
