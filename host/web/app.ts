/** The page: first the choice of a machine, then the yard around it. */
import { render } from 'lit';
import type { MachinePlan } from './session.ts';
import { element, theme } from './shell.ts';
import { type ChooserState, chooserView, noOffer, type Offer } from './views/chooser.ts';

class App {
  private readonly main = element('main');
  private chooser: ChooserState = { offer: noOffer, isStarting: false, problem: undefined };

  async start(): Promise<void> {
    this.drawChooser();
    const answer = await fetch('offer.json');
    if (answer.ok) this.change({ offer: (await answer.json()) as Offer });
  }

  private change(part: Partial<ChooserState>): void {
    this.chooser = { ...this.chooser, ...part };
    this.drawChooser();
  }

  private drawChooser(): void {
    if (this.main.dataset['view'] !== 'chooser') this.main.replaceChildren();
    this.main.dataset['view'] = 'chooser';
    render(
      chooserView(this.chooser, (plan) => void this.startMachine(plan)),
      this.main,
    );
  }

  private async startMachine(choose: () => MachinePlan): Promise<void> {
    this.change({ isStarting: true, problem: undefined });
    try {
      const plan = choose();
      const screen = document.createElement('div');
      screen.innerHTML = '<div></div><canvas></canvas>';
      const { startMachine, Yard } = await import('./yard.ts');
      const session = await startMachine(plan, screen);
      this.change({ isStarting: false });
      new Yard(this.main, session).show(screen);
    } catch (error) {
      this.change({ isStarting: false, problem: (error as Error).message });
    }
  }
}

theme.start();
void new App().start();
