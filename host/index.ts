/**
 * blockyard as a library, on Node.
 *
 * `openBlockyard` gives a whole block layer in this thread with the API that pages have too (`blockyard/browser`): nodes,
 * overlays, disks for emulators, backups, exports and the monitor.
 *
 * ```ts
 * const yard = await openBlockyard();
 * await yard.createImage('disk.qcow2', { size: 1 << 30 });
 * await yard.add({ driver: 'qcow2', 'node-name': 'disk', file: { driver: 'file', filename: 'disk.qcow2' } });
 * const backup = await yard.backup({ disks: { disk: { target: 'backup.qcow2' } } });
 * await backup.done;
 * await yard.close();
 * ```
 *
 * Below that are its parts. A `QmpServer` is the block layer with a QMP monitor for any byte stream. A `BlockGraph` alone
 * opens and creates images; a `BlockBackend` reads and writes one.
 *
 * ```ts
 * const graph = createGraph({ platform: nodePlatform, drivers });
 * const node = await graph.openFile('disk.qcow2', { format: 'qcow2' });
 * const disk = await BlockBackend.attach(node, {
 *   name: 'root', description: 'my emulator', perm: Perm.consistentRead | Perm.write, shared: Perm.all,
 * });
 * await disk.write(0, new Uint8Array(512));
 * await disk.flush();
 * await disk.close();
 * await graph.unref(node);
 * ```
 *
 * @module blockyard
 */
export { BlockError, type Errno, type ErrorClass } from './base/errors.ts';
export { type BackendUser, BlockBackend } from './block/backend.ts';
export { type CreateImageParams, createImage } from './block/create.ts';
export type { Driver, DriverDefinition } from './block/driver.ts';
export type { BlockGraph, GraphEvent, GraphOptions } from './block/graph.ts';
export type { BlockNode } from './block/node.ts';
export type { OpenFlags } from './block/open-context.ts';
export type { OpenFileOptions } from './block/opener.ts';
export { Perm } from './block/permissions.ts';
export { type BlockStatus, blockStatus, statusAbove } from './block/status.ts';
export { drivers } from './drivers.ts';
export type { DiskReference, GuestDisk } from './emulator/guest-disk.ts';
export { type FlushPolicy, LocalGuestDisk } from './emulator/local-disk.ts';
export { V86Disk, type V86DiskKind, type V86DiskState } from './emulator/v86/disk.ts';
export { type V86Drives, v86Drives } from './emulator/v86/drives.ts';
export { createV86, type V86Constructor, type V86Emulator } from './emulator/v86/emulator.ts';
export { V86Machine } from './emulator/v86/machine.ts';
export { V86Processor } from './emulator/v86/processor.ts';
export { createGraph } from './graph.ts';
export type { Backup, BackupPlan, DiskBackup } from './library/backup.ts';
export type { ExportSource } from './library/export.ts';
export { openBlockyard } from './library/node.ts';
export { BaseChangedError, type OverlayOptions } from './library/overlay.ts';
export type { EmulatorOptions, RemoteEmulator } from './library/remote-emulator.ts';
export type { Blockyard, DiskOptions, NewImage, TraceOptions } from './library/yard.ts';
export { deviceTypes } from './machine/device-types.ts';
export { findMachineType } from './machine/machine-types.ts';
export type { Connection, ConnectionHandlers } from './platform/connection.ts';
export { nodePlatform } from './platform/node/index.ts';
export type { Platform } from './platform/platform.ts';
export { type PrefetchList, prefetchListOf } from './protocols/http/driver.ts';
export { type EventListener, QmpClient, QmpError, type QmpEvent } from './qmp/client.ts';
export { commands } from './qmp/commands/index.ts';
export { systemCommands } from './qmp/commands/system.ts';
export { QmpServer, type QmpServerOptions } from './qmp/server.ts';
export type { TraceRecord } from './trace/event.ts';
export { tracer } from './trace/events.ts';
