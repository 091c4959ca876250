/** Jobs with their progress and rate, and what can be done to them in the state they are in. */
import { html, type TemplateResult } from 'lit';
import { bytes, rate } from '../format.ts';
import type { JobRow, Model } from '../model.ts';

interface Verb {
  readonly label: string;
  readonly command: string;
  readonly when: readonly string[];
}

const verbs: readonly Verb[] = [
  { label: 'Pause', command: 'job-pause', when: ['running', 'ready'] },
  { label: 'Resume', command: 'job-resume', when: ['paused', 'standby'] },
  { label: 'Complete', command: 'job-complete', when: ['ready'] },
  { label: 'Cancel', command: 'job-cancel', when: ['running', 'ready', 'paused', 'standby', 'created'] },
  { label: 'Finalize', command: 'job-finalize', when: ['pending'] },
  { label: 'Dismiss', command: 'job-dismiss', when: ['concluded'] },
];

export type Perform = (what: string, act: () => Promise<unknown>) => void;

/** `idle`: what is said while there are none. */
export function jobsView(model: Model, perform: Perform, idle: TemplateResult): TemplateResult {
  // Making a file takes a moment, and is part of something else.
  const jobs = model.jobs.filter(({ type }) => type !== 'create');
  return html`
    <div class="jobs">
      ${jobs.length === 0 ? idle : html`<table aria-label="Jobs"><tbody>${jobs.map((job) => rowView(model, job, perform))}</tbody></table>`}
    </div>
  `;
}

function rowView(model: Model, job: JobRow, perform: Perform): TemplateResult {
  const [done, total] = [job['current-progress'], job['total-progress']];
  const state = job.error ? html`<span title=${job.error}>failed</span>` : job.status;
  return html`
    <tr>
      <th scope="row"><b>${job.id}</b> <span class="hint">${job.type}, ${state}</span></th>
      <td>
        <progress max=${Math.max(1, total)} value=${done} aria-label="${job.id}: progress"></progress>
        <span class="hint">${bytes(done)} of ${bytes(total)}, ${rate(job.bytesPerSecond)}</span>
      </td>
      <td><span class="row">
        ${verbs
          .filter(({ when }) => when.includes(job.status))
          .map(
            ({ label, command }) => html`<button
              type="button"
              @click=${() => perform(`${label} ${job.id}`, () => model.monitor.qmp(command, { id: job.id }))}
            >${label}</button>`,
          )}
      </span></td>
    </tr>
  `;
}
