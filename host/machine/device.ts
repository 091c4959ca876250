/**
 * A device of the machine: something with properties on a bus, at a path in the object model.
 *
 * `realize` makes it work, or throws and leaves nothing behind; `unrealize` takes it back. What device_add makes has an
 * id and lies in `/machine/peripheral`, or has none and lies in `/machine/peripheral-anon`; what comes with the machine
 * lies in `/machine/unattached`.
 */
import { type BlockError, invalid } from '../base/errors.ts';
import type { QomObject, QomProperty } from '../objects/qom.ts';
import type { JsonValue } from '../qapi/json-value.ts';
import type { Bus } from './bus.ts';
import type { Machine } from './machine.ts';
import { type PropertySpec, type PropertyValue, readProperty } from './property.ts';

/** Of a drive for media that come and go. */
export interface TrayState {
  readonly open: boolean;
  /** By the guest. */
  readonly locked: boolean;
}

export interface DeviceTypeInfo {
  /** `virtio-blk-pci` */
  readonly name: string;
  /** The bus it goes on; absent: none. */
  readonly busKind: string;
  readonly properties: readonly PropertySpec[];
}

export abstract class Device implements QomObject {
  readonly isDevice = true;
  /** Other than the machine's own. */
  id: string | undefined;
  path = '';
  bus: Bus | undefined;
  /** It came while the machine was set up already. */
  hotplugged = false;
  /** device_del has asked the guest to let go of it. */
  unplugPending = false;
  readonly children: Map<string, QomObject> = new Map();
  protected readonly values = new Map<string, PropertyValue>();
  private isRealized = false;

  constructor(
    readonly machine: Machine,
    readonly type: DeviceTypeInfo,
  ) {
    for (const { name, initial } of type.properties) this.values.set(name, initial);
  }

  get typeName(): string {
    return this.type.name;
  }

  /** As messages and events call it. */
  get idOrPath(): string {
    return this.id ?? this.path;
  }

  get realized(): boolean {
    return this.isRealized;
  }

  /** Whether device_del waits for the guest. */
  get needsGuestToUnplug(): boolean {
    return this.type.busKind === 'PCI';
  }

  // Properties.

  hasProperty(name: string): boolean {
    return this.values.has(name);
  }

  /** Errors: no such property; a value it does not take. `isText`: from an option string. */
  setProperty(name: string, value: JsonValue, isText: boolean): void {
    const spec = this.type.properties.find((candidate) => candidate.name === name);
    if (!spec) throw invalid(`Property '${this.typeName}.${name}' not found`);
    const read = readProperty(spec, value, isText);
    this.values.set(name, spec.linkTo === undefined ? read : this.linked(name, spec.linkTo, String(read)));
  }

  /** The whole path of an object. Errors: there is none, or one of another type. */
  private linked(name: string, type: string, path: string): string {
    const { tree } = this.machine;
    if (path === '') return '';
    const object = tree.resolve(path);
    if (object.typeName !== type) throw invalid(`Invalid parameter type for '${name}', expected: ${type}`);
    return tree.pathOf(object)!; // it was found in there
  }

  get properties(): readonly QomProperty[] {
    const own = this.type.properties.map((spec): QomProperty => this.describeProperty(spec));
    return [
      { name: 'parent_bus', type: 'link<bus>', get: () => this.bus?.path ?? '' },
      {
        name: 'realized',
        type: 'bool',
        get: () => this.isRealized,
      },
      { name: 'hotplugged', type: 'bool', get: () => this.hotplugged },
      { name: 'hotpluggable', type: 'bool', get: () => true },
      ...own,
    ];
  }

  private describeProperty(spec: PropertySpec): QomProperty {
    const { name, typeName } = spec;
    return {
      name,
      type: typeName,
      get: () => this.shownValue(name),
      set: async (value) => {
        if (this.isRealized && !spec.isLive) throw this.settled(spec);
        const before = this.values.get(name)!; // one of its declared properties
        this.setProperty(name, value, false);
        try {
          if (this.isRealized) await this.changed?.(name);
        } catch (error) {
          this.values.set(name, before);
          throw error;
        }
      },
    };
  }

  private settled({ name, linkTo }: PropertySpec): BlockError {
    const part = this.partWith(name);
    const kind = linkTo === undefined ? 'property' : 'link property';
    const unnamed = linkTo === undefined ? 'anonymous device' : "device '(null)'";
    const owner = part === undefined ? `device '${this.idOrPath}'` : unnamed;
    return invalid(
      `Attempt to set ${kind} '${name}' on ${owner} (type '${part ?? this.typeName}') after it was realized`,
    );
  }

  /** The type of the part, which has no name, that a property is passed on to; undefined: it is the device's own. */
  protected partWith(_name: string): string | undefined {
    return undefined;
  }

  /** What qom-get shows. */
  protected shownValue(name: string): PropertyValue | undefined {
    return this.values.get(name);
  }

  /** A live property has a new value. Errors: BlockError, and the old one holds. */
  protected changed?(name: string): void | Promise<void>;

  protected bool(name: string): boolean {
    return this.values.get(name) as boolean;
  }

  protected number(name: string): number {
    return this.values.get(name) as number;
  }

  protected string(name: string): string {
    return this.values.get(name) as string;
  }

  // What savevm keeps.

  /** Absent: it has none. */
  get tray(): TrayState | undefined {
    return undefined;
  }

  /** Nobody is told. */
  restoreTray?(tray: TrayState): void;

  // Its life.

  async realize(): Promise<void> {
    await this.open();
    this.isRealized = true;
  }

  /** Harmless on a device that is not realized. */
  async unrealize(): Promise<void> {
    if (!this.isRealized) return;
    this.isRealized = false;
    await this.close();
  }

  /** Errors: BlockError; nothing is held then. */
  protected abstract open(): Promise<void>;
  protected abstract close(): Promise<void>;

  /** The devices on its buses. */
  dependents(): readonly Device[] {
    return [];
  }

  /** The paths that go with it, those of its parts first. */
  deletedPaths(): readonly { id?: string; path: string }[] {
    return [this.id === undefined ? { path: this.path } : { id: this.id, path: this.path }];
  }
}
