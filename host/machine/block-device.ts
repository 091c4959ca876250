/** What all devices with a disk have in common: their properties, the checks on them, and the front to the disk. */
import { BlockError, invalid } from '../base/errors.ts';
import type { OnError } from '../block/error-policy.ts';
import { BlockFront, type FrontOptions } from './block-front.ts';
import { Device, type TrayState } from './device.ts';
import {
  blockSize,
  bytes,
  flag,
  number32,
  onError,
  onOrOff,
  type PropertySpec,
  type PropertyValue,
  signed32,
  text,
  unsetUint32,
} from './property.ts';

export const blockProperties: readonly PropertySpec[] = [
  { ...text('drive'), isLive: true },
  blockSize('logical_block_size'),
  blockSize('physical_block_size'),
  bytes('min_io_size'),
  bytes('opt_io_size'),
  bytes('discard_granularity', unsetUint32),
  onOrOff('write-cache'),
  flag('share-rw'),
  onOrOff('account-invalid'),
  onOrOff('account-failed'),
  onOrOff('backend_defaults'),
];

export const errorProperties: readonly PropertySpec[] = [onError('rerror'), onError('werror')];

export const geometryProperties: readonly PropertySpec[] = [
  number32('cyls'),
  number32('heads'),
  number32('secs'),
  number32('lcyls'),
  number32('lheads'),
  number32('lsecs'),
];

/** -1: no boot device. */
export const bootProperty: PropertySpec = { ...signed32('bootindex', -1), isLive: true };

const defaultBlockBytes = 512;

type FrontKind = Omit<
  FrontOptions,
  'name' | 'path' | 'drive' | 'shareRw' | 'rerror' | 'werror' | 'writeCache' | 'isRemovable'
>;

/** What else a device looks at, before its disk is opened and after that. Errors: BlockError. */
interface OpeningChecks {
  before?(): void;
  after?(): void;
}

export abstract class BlockDevice extends Device {
  private opened: BlockFront | undefined;

  /** While it is realized. */
  get front(): BlockFront {
    if (!this.opened) throw new BlockError('ENODEV');
    return this.opened;
  }

  protected get drive(): string {
    return this.string('drive');
  }

  /** Id, or path in the object model, of what holds the disk: the device itself or a part of it. */
  protected get frontPath(): { name: string; path: string } {
    return { name: this.idOrPath, path: this.path };
  }

  override get tray(): TrayState | undefined {
    const { isTrayOpen: open, isLocked: locked } = this.opened ?? {};
    return open === undefined || locked === undefined ? undefined : { open, locked };
  }

  override restoreTray(tray: TrayState): void {
    this.opened?.restoreTray(tray);
  }

  /** Errors: BlockError; the disk is not held then. */
  protected async openFront(
    kind: FrontKind & {
      isRemovable: boolean;
      needsMedium: boolean;
      maxHeads?: number;
      checksSizesLate?: boolean;
    },
    { before, after }: OpeningChecks = {},
  ): Promise<void> {
    const { needsMedium, maxHeads = 255, checksSizesLate, ...options } = kind;
    this.checkBootIndex();
    if (needsMedium && this.isDriveEmpty()) throw invalid('Device needs media, but drive is empty');
    before?.();
    if (!checksSizesLate) this.checkBlockSizes();
    const front = await BlockFront.open(this.machine, {
      ...this.frontPath,
      ...options,
      drive: this.drive,
      shareRw: this.bool('share-rw'),
      rerror: this.policy('rerror'),
      werror: this.policy('werror'),
      writeCache: this.string('write-cache') as FrontOptions['writeCache'],
    });
    try {
      this.checkGeometry(maxHeads);
      after?.();
    } catch (error) {
      await front.close();
      throw error;
    }
    this.opened = front;
    this.applyAccounting(front);
    this.rememberBootIndex();
  }

  protected override async close(): Promise<void> {
    const front = this.opened;
    this.opened = undefined;
    this.forgetBootIndex();
    await front?.close({ deleteDrive: this.unplugPending });
  }

  private isDriveEmpty(): boolean {
    const backend = this.machine.graph.backends.find(this.drive);
    return backend !== undefined && !backend.device && !backend.hasMedium;
  }

  private policy(name: 'rerror' | 'werror'): OnError {
    return this.hasProperty(name) ? (this.string(name) as OnError) : 'auto';
  }

  /** Who says how many cylinders, heads or sectors there are says all three. */
  private checkGeometry(maxHeads: number): void {
    if (!this.hasProperty('cyls')) return;
    const limits = { cyls: 65535, heads: maxHeads, secs: 255 };
    const names = Object.keys(limits) as (keyof typeof limits)[];
    if (names.every((name) => this.number(name) === 0)) return;
    for (const name of names) {
      const value = this.number(name);
      if (value < 1 || value > limits[name]) {
        throw invalid(`${name} must be between 1 and ${limits[name]}`);
      }
    }
  }

  /** Settles the sizes that nobody gave. Errors: BlockError. */
  protected checkBlockSizes(): void {
    const physical = this.number('physical_block_size') || defaultBlockBytes;
    const logical = this.number('logical_block_size') || defaultBlockBytes;
    if (logical > physical) {
      throw invalid('logical_block_size > physical_block_size not supported');
    }
    for (const name of ['min_io_size', 'opt_io_size', 'discard_granularity']) {
      const value = this.number(name);
      if (name === 'discard_granularity' && value === unsetUint32) continue;
      if (value % logical !== 0) throw invalid(`${name} must be a multiple of logical_block_size`);
    }
    this.values.set('physical_block_size', physical);
    this.values.set('logical_block_size', logical);
    if (this.number('discard_granularity') === unsetUint32 && this.discardGranularity !== undefined) {
      this.values.set('discard_granularity', this.discardGranularity);
    }
  }

  /** What holds when nobody says; undefined: it stays open. */
  protected get discardGranularity(): number | undefined {
    return undefined;
  }

  protected override shownValue(name: string): PropertyValue | undefined {
    if (name !== 'drive' || !this.opened) return super.shownValue(name);
    const { backend } = this.opened;
    return backend.name || (backend.hasMedium ? backend.node.name : '');
  }

  /** The device keeps its backend, limits, policies and all, and uses another node: a filter above the old one, say. */
  private async exchangeNode(): Promise<void> {
    const node = this.machine.graph.getNode(this.drive);
    const { backend } = this.front;
    if (!backend.hasMedium) throw new BlockError('ENOMEDIUM', `Device '${this.idOrPath}' has no medium`);
    await backend.exchange(node);
  }

  private applyAccounting({ backend: { statistics } }: BlockFront): void {
    const invalidOnes = this.string('account-invalid');
    const failedOnes = this.string('account-failed');
    if (invalidOnes !== 'auto') statistics.accountInvalid = invalidOnes === 'on';
    if (failedOnes !== 'auto') statistics.accountFailed = failedOnes === 'on';
  }

  private get bootIndex(): number {
    return this.hasProperty('bootindex') ? this.number('bootindex') : -1;
  }

  private checkBootIndex(): void {
    const holder = this.machine.bootIndexes.get(this.bootIndex);
    if (!holder || holder === this) return;
    throw invalid(`The bootindex ${this.bootIndex} has already been used`);
  }

  private rememberBootIndex(): void {
    if (this.bootIndex >= 0) this.machine.bootIndexes.set(this.bootIndex, this);
  }

  private forgetBootIndex(): void {
    for (const [index, device] of this.machine.bootIndexes) {
      if (device === this) this.machine.bootIndexes.delete(index);
    }
  }

  protected override async changed(name: string): Promise<void> {
    if (name === 'drive') await this.exchangeNode();
    if (name !== 'bootindex') return;
    this.checkBootIndex();
    this.forgetBootIndex();
    this.rememberBootIndex();
  }
}
