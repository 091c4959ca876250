/** The buttons that a machine has at its front: reset, Ctrl-Alt-Del, power. */
import { html, nothing, type TemplateResult } from 'lit';
import { ask } from '../ask.ts';
import type { Session } from '../session.ts';
import type { Perform } from './jobs.ts';

/** Pressed and let go in turn: scan codes of set 1. */
const ctrlAltDel = [0x1d, 0x38, 0xe0, 0x53, 0xe0, 0xd3, 0xb8, 0x9d];

const lost = 'What the guest has in its memory only is lost; what it has written to its disks stays.';

export function powerView(session: Session, perform: Perform, powerOff: () => Promise<void>): TemplateResult {
  const isBusy = session.busyWith !== undefined;
  const reset = (): void => {
    void ask({ title: 'Reset the machine?', text: lost, yes: 'Reset' }).then((yes) => {
      if (yes) perform('Reset', () => session.monitor.qmp('system_reset'));
    });
  };
  const askAndPowerOff = (): void => {
    const text = `${lost} It can be started again from the list of machines.`;
    void ask({ title: 'Power the machine off?', text, yes: 'Power off' }).then((yes) => {
      if (yes) perform('Power off', powerOff);
    });
  };
  return html`
    ${
      session.plan.boot === 'embedded'
        ? nothing
        : html`<button type="button" data-action="ctrl-alt-del" @click=${() => session.sendScancodes(ctrlAltDel)}>Ctrl-Alt-Del</button>`
    }
    <button type="button" data-action="reset" ?disabled=${isBusy} @click=${reset}>Reset …</button>
    <button type="button" data-action="power-off" ?disabled=${isBusy} @click=${askAndPowerOff}>Power off …</button>
  `;
}
