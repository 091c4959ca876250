/** A slider over a few values, with a label in front of it and in words what it stands at. */
import { html, type TemplateResult } from 'lit';
import { rate } from '../format.ts';

/** What the stops of a slider mean; the last one is no limit. */
export interface Stops {
  readonly values: readonly number[];
  show(value: number): string;
}

/** Bytes per second. */
export const byteStops: Stops = {
  values: [1, 2, 4, 8, 16, 32, 64, 128, 256].map((mebibytes) => mebibytes << 20).concat(0),
  show: rate,
};

interface Slider {
  readonly id: string;
  readonly label: string;
  readonly stops: Stops;
  readonly value: number;
  change(value: number): void;
}

export function slider({ id, label, stops, value, change }: Slider): TemplateResult {
  const words = value === 0 ? 'unlimited' : stops.show(value);
  const { values } = stops;
  return html`
    <label for=${id}>${label}</label>
    <input id=${id} type="range" min="0" max=${values.length - 1} .value=${String(stopOf(values, value))}
      aria-valuetext=${words}
      @change=${(event: Event) => {
        change(values[Number((event.target as HTMLInputElement).value)]!); // the slider goes over them
      }} />
    <output for=${id}>${words}</output>
  `;
}

/** The nearest stop at or above the limit. */
function stopOf(stops: readonly number[], limit: number): number {
  const found = limit === 0 ? -1 : stops.findIndex((stop) => stop >= limit);
  return found < 0 ? stops.length - 1 : found;
}
