/**
 * A v86 that runs beside the block layer, in its worker, as the page has it: events that it listens to, functions that it calls, its
 * screen, its keyboard and its mouse.
 */
import { sendKeys } from '../emulator/v86/page-keyboard.ts';
import { sendMouse } from '../emulator/v86/page-mouse.ts';
import { PageScreen } from '../emulator/v86/screen/page-end.ts';
import { driveNames, type EmulatorNews, type EmulatorStart } from './emulator-protocol.ts';
import type { Calls } from './rpc.ts';
import type { EmulatorFunctions } from './worker-emulator.ts';
import type { DiskOptions } from './yard.ts';

/** Of the yard. */
interface EmulatorHost {
  /** Over `port`. */
  connect(port: MessagePort): Calls<EmulatorFunctions>;
  /** Settles when it runs, or could. */
  start(start: Omit<EmulatorStart, 'flushPolicy'>, transfer: Transferable[]): Promise<void>;
  /** Ends it. */
  detach(): Promise<void>;
}

/** Those of v86, but for what a worker cannot have; `hda`, `hdb` and `cdrom` name nodes: `{ node: 'disk' }`. */
export type EmulatorOptions = Readonly<Record<string, unknown>>;

type EventListener = (value: never) => void;

/** Options of v86 for what only a page has, or that only an emulator in the page can have. */
const optionsOfPages = ['screen', 'serial_container', 'serial_container_xtermjs', 'wasm_fn'];
/** v86 looks for these files at addresses that are relative to the page. */
const fileNames = ['bios', 'vga_bios', 'initial_state', 'multiboot', 'bzimage', 'initrd', 'fda', 'fdb'];

/** v86 in the worker of a yard. */
export class RemoteEmulator {
  private readonly listeners = new Map<string, Set<EventListener>>();
  private endKeyboard: (() => void) | undefined;
  private endMouse: (() => void) | undefined;

  private constructor(
    private readonly host: EmulatorHost,
    private readonly calls: Calls<EmulatorFunctions>,
  ) {}

  /** Errors: an option that is for v86 in a page only, by its name; those of the worker. */
  static async start(
    host: EmulatorHost,
    module: string | URL,
    options: EmulatorOptions,
  ): Promise<RemoteEmulator> {
    for (const name of optionsOfPages) {
      if (options[name]) throw new Error(`v86 in a worker has no option '${name}'`);
    }
    if (options['disable_speaker'] === false) throw new Error('v86 in a worker has no speaker');
    const {
      screen_container: container,
      disable_keyboard: hasNoKeyboard,
      disable_mouse: hasNoMouse,
      ...others
    } = options;
    const [calls, news] = [new MessageChannel(), new MessageChannel()];
    const shown = container as HTMLElement | undefined;
    const screen = shown && new PageScreen(shown);
    const canvas = screen?.takeCanvas();
    const emulator = new RemoteEmulator(host, host.connect(calls.port1));
    news.port1.onmessage = ({ data }: MessageEvent<EmulatorNews>) => emulator.take(data, screen);
    const start = {
      module: absolute(module),
      ...sorted(others),
      calls: calls.port2,
      news: news.port2,
      ...(canvas ? { canvas } : {}),
    };
    try {
      await host.start(start, [calls.port2, news.port2, ...(canvas ? [canvas] : [])]);
    } catch (error) {
      emulator.calls.close();
      throw unsendable(others) ?? error;
    }
    if (!hasNoKeyboard && globalThis.document) emulator.keyboard_set_enabled(true);
    if (!hasNoMouse && shown) emulator.followMouse(shown);
    emulator.beginSoon();
    return emulator;
  }

  /** Once whoever has been waiting for it has said what to listen to. */
  private beginSoon(): void {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      // A worker that is gone begins nothing.
      this.calls.call('begin', {}).catch(() => {});
    };
    port2.postMessage(undefined);
  }

  /** As v86's; values come as copies, later than it happens. */
  add_listener(event: string, listener: EventListener): void {
    const others = this.listeners.get(event);
    if (others) others.add(listener);
    else {
      this.listeners.set(event, new Set([listener]));
      // A worker that is gone has no more to tell.
      this.calls.call('listen', { event }).catch(() => {});
    }
  }

  remove_listener(event: string, listener: EventListener): void {
    this.listeners.get(event)?.delete(listener);
  }

  /**
   * Calls a function of v86 by its name, and gives a copy of its result. Errors: v86 has no such function; it would act behind the back
   * of the machine, as `run` and `save_state` do, which has `cont` and `yard.saveMachine` for that; the function's own.
   */
  run(name: string, ...args: readonly unknown[]): Promise<unknown> {
    return this.calls.call('run', { name, args });
  }

  serial_send_bytes(serial: number, bytes: Uint8Array): void {
    this.tell('serial_send_bytes', serial, bytes);
  }

  /** Scan codes of set 1. */
  async keyboard_send_scancodes(codes: readonly number[]): Promise<void> {
    await this.run('keyboard_send_scancodes', codes);
  }

  /** Whether the guest gets the keys that are pressed in the page, but for those that go to a field for text. */
  keyboard_set_enabled(isEnabled: boolean): void {
    this.endKeyboard?.();
    this.endKeyboard = isEnabled
      ? sendKeys({
          sendScancodes: (codes) => this.tell('keyboard_send_scancodes', codes),
          sendText: (text) => this.tell('keyboard_send_text', text),
        })
      : undefined;
  }

  private followMouse(screen: HTMLElement): void {
    let isWanted = false;
    this.add_listener('mouse-enable', (value: boolean) => {
      isWanted = value;
    });
    this.endMouse = sendMouse(
      screen,
      () => isWanted,
      // A worker that is gone has no mouse.
      (event, value) => void this.calls.call('send', { event, value }).catch(() => {}),
    );
  }

  /** Ends it, and takes its disks away. */
  async destroy(): Promise<void> {
    this.keyboard_set_enabled(false);
    this.endMouse?.();
    await this.host.detach();
    this.calls.close();
  }

  /** For what has no answer: nobody waits for a worker that is gone. */
  private tell(name: string, ...args: readonly unknown[]): void {
    this.run(name, ...args).catch(() => {});
  }

  private take(news: EmulatorNews, screen: PageScreen | undefined): void {
    if (news.type === 'screen') screen?.show(news.update);
    else if (news.type === 'failed') reportError(new Error(`v86 has failed: ${news.message}`));
    else {
      for (const [event, value] of news.events) {
        for (const listener of this.listeners.get(event) ?? []) listener(value as never);
      }
    }
  }
}

/** What says so when an option cannot go to a worker. */
function unsendable(options: EmulatorOptions): Error | undefined {
  for (const [name, value] of Object.entries(options)) {
    try {
      structuredClone(value);
    } catch (cause) {
      return new Error(`v86 in a worker cannot have '${name}': ${(cause as Error).message}`, { cause });
    }
  }
  return undefined;
}

/** What is v86's own, and what are disks of the block layer. */
function sorted(given: EmulatorOptions): Pick<EmulatorStart, 'options' | 'drives'> {
  const drives: Record<string, DiskOptions> = {};
  const options: Record<string, unknown> = { disable_mouse: true, disable_speaker: true };
  for (const [name, value] of Object.entries(given)) {
    const isDrive = (driveNames as readonly string[]).includes(name);
    if (isDrive && typeof (value as Partial<DiskOptions>)?.node === 'string')
      drives[name] = value as DiskOptions;
    else options[name] = fileNames.includes(name) ? sendable(value) : value;
  }
  options['wasm_path'] = absolute(String(given['wasm_path'] ?? 'build/v86.wasm'));
  return { options, drives };
}

/** A worker that was made of a text knows no address that others could be relative to. */
function sendable(file: unknown): unknown {
  if (typeof file === 'string' || file instanceof URL) return absolute(file);
  const { url } = (file ?? {}) as { url?: unknown };
  return typeof url === 'string' ? { ...(file as object), url: absolute(url) } : file;
}

function absolute(address: string | URL): string {
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  return base === undefined ? String(address) : new URL(address, base).href;
}
