/**
 * A question before what cannot be taken back, as a dialog over the page: Escape and the first button, which has the focus, say no.
 */
import { html, render, type TemplateResult } from 'lit';

interface Question {
  readonly title: string;
  /** What is lost, and what is not. */
  readonly text: string | TemplateResult;
  /** On the button that says yes: a verb. */
  readonly yes: string;
}

/** Settles when it is answered. */
export function ask({ title, text, yes }: Question): Promise<boolean> {
  const dialog = document.createElement('dialog');
  dialog.className = 'question';
  dialog.setAttribute('aria-labelledby', 'question-title');
  dialog.setAttribute('aria-describedby', 'question-text');
  render(
    html`<form method="dialog">
      <h2 id="question-title">${title}</h2>
      <div id="question-text">${text}</div>
      <div class="row">
        <button type="submit" value="" autofocus data-answer="no">Cancel</button>
        <button type="submit" value="yes" class="danger" data-answer="yes">${yes}</button>
      </div>
    </form>`,
    dialog,
  );
  // An emulator listens on the window, and would take Escape for itself.
  dialog.addEventListener('keydown', (event) => event.stopPropagation());
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    dialog.showModal();
  });
}
