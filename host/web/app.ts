/** The page: first the choice of a machine, then the yard around it. */
import { html, nothing, render } from 'lit';
import { fillIn, readLink } from './deep-link.ts';
import { putIntoForm, sortFiles } from './dropped-files.ts';
import { hasKeptFirmware, keepFirmware } from './firmware.ts';
import { deleteMachine, type Kept, listKept, startAfresh } from './kept-machines.ts';
import type { Progress } from './machine-archive.ts';
import { removeFiles } from './own-files.ts';
import type { MachinePlan } from './session.ts';
import { element, tell, theme } from './shell.ts';
import { type ChooserState, chooserView, noOffer, type Offer } from './views/chooser.ts';
import { type FirmwareState, firmwareView } from './views/firmware.ts';
import { howView } from './views/how.ts';
import { type KeptActions, keptView, type Transfer } from './views/kept.ts';

class App {
  private readonly main = element('main');
  private chooser: ChooserState = { offer: noOffer, isStarting: false, problem: undefined };
  private kept: Kept | undefined;
  private transfer: Transfer | undefined;

  private firmware: FirmwareState = { isThere: true, problem: undefined };

  async start(): Promise<void> {
    // Drawn once there is everything to choose from: what came later would push the rest away.
    const [answer] = await Promise.all([fetch('offer.json').catch(() => undefined), this.findKept()]);
    if (answer?.ok) await this.take((await answer.json()) as Offer);
    else this.drawChooser();
    this.followLink();
    window.addEventListener('hashchange', () => this.followLink());
    this.takeDrops();
    // A reload would end what is on its way: the browser asks.
    window.addEventListener('beforeunload', (event) => {
      if (this.transfer) event.preventDefault();
    });
  }

  private get form(): HTMLFormElement | null {
    return this.main.querySelector('form.chooser');
  }

  /** Without a form a machine runs: a link has to wait until it is off. */
  private followLink(): void {
    const { form } = this;
    if (!form) return;
    try {
      const link = readLink(location.hash, this.chooser.offer, location.href);
      if (link) fillIn(form, link);
      this.change({ problem: undefined });
    } catch (error) {
      this.change({ problem: (error as Error).message });
    }
  }

  private takeDrops(): void {
    window.addEventListener('dragover', (event) => {
      if (this.form) event.preventDefault();
    });
    window.addEventListener('drop', (event) => {
      const { form } = this;
      const files = [...(event.dataTransfer?.files ?? [])];
      if (!form || files.length === 0) return;
      event.preventDefault();
      sortFiles(files)
        .then((sorted) => putIntoForm(form, sorted))
        .catch((error: Error) => this.change({ problem: error.message }));
    });
  }

  private async take(offer: Offer): Promise<void> {
    const isThere = offer.firmware || (await hasKeptFirmware());
    this.firmware = { isThere, problem: undefined };
    this.change({ offer: { ...offer, firmware: isThere } });
  }

  private async keepFirmware(chosen: Parameters<typeof keepFirmware>[0]): Promise<void> {
    try {
      await keepFirmware(chosen);
      await this.take(this.chooser.offer);
    } catch (error) {
      this.firmware = { isThere: false, problem: (error as Error).message };
      this.drawChooser();
    }
  }

  private change(part: Partial<ChooserState>): void {
    this.chooser = { ...this.chooser, ...part };
    this.drawChooser();
  }

  private drawChooser(): void {
    if (this.main.dataset['view'] !== 'chooser') this.main.replaceChildren();
    this.main.dataset['view'] = 'chooser';
    render(
      html`${chooserView(this.chooser, (plan) => void this.startMachine(plan))}
      <div class="aside">
        ${firmwareView(this.firmware, (chosen) => void this.keepFirmware(chosen))}
        ${this.kept ? keptView(this.kept, this.transfer, this.keptActions) : nothing}
        ${howView()}
      </div>`,
      this.main,
    );
  }

  /** A browser that keeps nothing says so when a machine is to start. */
  private async findKept(): Promise<void> {
    this.kept = await listKept().catch(() => undefined);
  }

  private readonly keptActions: KeptActions = {
    start: (plan) => void this.startMachine(() => plan),
    startAfresh: (name) => void this.keep(startAfresh(name)),
    delete: (name) => void this.keep(deleteMachine(name)),
    export: (name) => void this.keep(this.exportMachine(name)),
    import: (archive) => void this.keep(this.importMachine(archive)),
    removeLeftovers: () => void this.keep(removeFiles(this.kept?.leftovers.paths ?? [])),
  };

  private async exportMachine(name: string): Promise<void> {
    const { exportMachine } = await import('./machine-archive.ts');
    await this.withProgress(`Exporting ${name}`, (progress) => exportMachine(name, progress));
    tell(`${name} was exported. The image that it was started from is not in the file.`, false);
  }

  private async importMachine(archive: File): Promise<void> {
    const { importMachine } = await import('./machine-archive.ts');
    await this.withProgress(`Importing ${archive.name}`, async (progress) => {
      const name = await importMachine(archive, progress);
      tell(`${name} was imported.`, false);
    });
  }

  /** Draws how far it is, at most once per frame. */
  private async withProgress(what: string, act: (progress: Progress) => Promise<void>): Promise<void> {
    let isDrawing = false;
    const show = (transfer: Transfer | undefined): void => {
      this.transfer = transfer;
      if (isDrawing) return;
      isDrawing = true;
      requestAnimationFrame(() => {
        isDrawing = false;
        if (this.form) this.drawChooser();
      });
    };
    try {
      await act((done, total) => show({ what, done, total }));
    } finally {
      show(undefined);
    }
  }

  private async keep(change: Promise<void>): Promise<void> {
    await change.catch((error: Error) => {
      // Nobody wanted it after all.
      if (error.name !== 'AbortError') tell(error.message, true);
    });
    await this.findKept();
    if (this.form) this.drawChooser();
  }

  private async startMachine(choose: () => MachinePlan): Promise<void> {
    const isPointed = !document.activeElement?.matches(':focus-visible');
    this.change({ isStarting: true, problem: undefined });
    try {
      const plan = choose();
      const screen = document.createElement('div');
      screen.innerHTML = '<div></div><canvas></canvas>';
      const { startMachine, Yard } = await import('./yard.ts');
      const session = await startMachine(plan, screen);
      this.change({ isStarting: false });
      new Yard(this.main, session).show(screen, isPointed);
    } catch (error) {
      this.change({ isStarting: false, problem: (error as Error).message });
    }
  }
}

/** For when there is no network. Not every browser, window and address can have that. */
function keepForOffline(): void {
  addEventListener('load', () => {
    navigator.serviceWorker
      ?.register('service-worker.js')
      .catch((error: Error) => console.info(`The page is not kept for offline: ${error.message}`));
  });
}

theme.start();
keepForOffline();
void new App().start();
