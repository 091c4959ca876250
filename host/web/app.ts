/** The page: first the choice of a machine, then the yard around it. */
import { html, render } from 'lit';
import { hasKeptFirmware, keepFirmware } from './firmware.ts';
import type { MachinePlan } from './session.ts';
import { element, theme } from './shell.ts';
import { type ChooserState, chooserView, noOffer, type Offer } from './views/chooser.ts';
import { type FirmwareState, firmwareView } from './views/firmware.ts';
import { howView } from './views/how.ts';

class App {
  private readonly main = element('main');
  private chooser: ChooserState = { offer: noOffer, isStarting: false, problem: undefined };

  private firmware: FirmwareState = { isThere: true, problem: undefined };

  async start(): Promise<void> {
    // Drawn once there is everything to choose from: what came later would push the rest away.
    const answer = await fetch('offer.json').catch(() => undefined);
    if (answer?.ok) await this.take((await answer.json()) as Offer);
    else this.drawChooser();
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
      ${firmwareView(this.firmware, (chosen) => void this.keepFirmware(chosen))}${howView()}`,
      this.main,
    );
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
