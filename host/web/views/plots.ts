/**
 * What the guest gets: requests per second, and how long they take on average. Stretches in which a job ran are shaded, so that
 * what a copy costs can be seen.
 */
import uPlot from 'uplot';
import { count, microseconds } from '../format.ts';
import type { Model, Sample } from '../model.ts';

type Column = (number | null)[];

interface Curve {
  readonly label: string;
  readonly colour: string;
  of(sample: Sample): number | undefined;
}

interface PlotSpec {
  readonly title: string;
  readonly curves: readonly Curve[];
  show(value: number): string;
}

const specs: readonly PlotSpec[] = [
  {
    title: 'Requests per second',
    show: count,
    curves: [
      { label: 'reads/s', colour: '--accent', of: ({ readIops }) => readIops },
      { label: 'writes/s', colour: '--warm', of: ({ writeIops }) => writeIops },
    ],
  },
  {
    title: 'Latency (mean)',
    show: microseconds,
    curves: [
      { label: 'read', colour: '--accent', of: ({ readMicroseconds }) => readMicroseconds },
      { label: 'write', colour: '--warm', of: ({ writeMicroseconds }) => writeMicroseconds },
    ],
  },
];

export class PlotsView {
  private readonly plots: { plot: uPlot; spec: PlotSpec; box: HTMLElement }[] = [];

  constructor(
    host: HTMLElement,
    private readonly model: Model,
  ) {
    host.innerHTML = `
      <section class="panel" aria-labelledby="plots-title">
        <header><h2 id="plots-title">What the guest gets</h2><span class="hint">shaded: a job runs</span></header>
        <div class="plots"></div>
      </section>`;
    const list = host.querySelector('.plots')!; // just written
    for (const spec of specs) {
      const heading = document.createElement('h3');
      heading.textContent = spec.title;
      const box = document.createElement('div');
      box.className = 'plot';
      list.append(heading, box);
      this.plots.push({ plot: this.create(spec, box), spec, box });
    }
    new ResizeObserver(() => this.resize()).observe(list);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.redraw());
  }

  update(): void {
    for (const { plot, spec } of this.plots) {
      plot.setData(this.dataOf(spec));
      // What is newest, as long as nobody points at something older.
      const isPointedAt = (plot.cursor.left ?? -1) >= 0;
      if (!isPointedAt) plot.setLegend({ idx: this.model.samples.length - 1 });
    }
  }

  /** The theme has changed. */
  redraw(): void {
    for (const { plot } of this.plots) plot.redraw();
  }

  private dataOf(spec: PlotSpec): uPlot.AlignedData {
    const { samples } = this.model;
    const times = samples.map(({ seconds }) => seconds);
    const columns = spec.curves.map((curve): Column => samples.map((sample) => curve.of(sample) ?? null));
    return [times, ...columns];
  }

  private create(spec: PlotSpec, box: HTMLElement): uPlot {
    const axis = {
      stroke: () => colour('--dim'),
      grid: { stroke: () => colour('--line'), width: 1 },
      ticks: { show: false },
    };
    return new uPlot(
      {
        ...sizeOf(box),
        cursor: { y: false },
        scales: {
          x: { time: false },
          y: { range: (_plot, _min, max) => [0, Math.max(1, (max ?? 0) * 1.1)] },
        },
        axes: [
          {
            ...axis,
            values: (_plot, splits) => splits.map((at) => this.ago(at)),
            size: 28,
            incrs: secondsApart,
          },
          { ...axis, values: (_plot, splits) => splits.map(spec.show), size: 62 },
        ],
        series: [
          { label: 'seen', value: (_plot, at) => (at === null ? '–' : this.ago(at)) },
          ...spec.curves.map((curve) => ({
            label: curve.label,
            stroke: () => colour(curve.colour),
            width: 1.6,
            gaps: longGaps,
            points: { show: false },
            value: (_plot: uPlot, value: number | null) => (value === null ? '–' : spec.show(value)),
          })),
        ],
        hooks: { drawClear: [(plot) => this.shade(plot)] },
        legend: {
          live: true,
          // Of CSS, unlike the canvas: they follow the theme by themselves. The first series is the time.
          markers: { stroke: (_plot, series) => `var(${spec.curves[series - 1]?.colour ?? '--dim'})` },
        },
      },
      this.dataOf(spec),
      box,
    );
  }

  private ago(at: number): string {
    const last = this.model.samples.at(-1)?.seconds ?? at;
    return `${Math.round(at - last)} s`;
  }

  private shade(plot: uPlot): void {
    const { ctx } = plot;
    ctx.save();
    ctx.fillStyle = colour('--shade');
    for (const [start, end] of this.busyStretches()) {
      const left = plot.valToPos(start, 'x', true);
      ctx.fillRect(left, plot.bbox.top, plot.valToPos(end, 'x', true) - left, plot.bbox.height);
    }
    ctx.restore();
  }

  /** From the sample before a job was seen to the last one that saw it, in seconds. */
  private busyStretches(): [number, number][] {
    const { samples } = this.model;
    const stretches: [number, number][] = [];
    for (const [i, { busy, seconds }] of samples.entries()) {
      if (!busy) continue;
      const before = samples[i - 1];
      if (before?.busy)
        stretches.at(-1)![1] = seconds; // that one began it
      else stretches.push([before?.seconds ?? seconds, seconds]);
    }
    return stretches;
  }

  private resize(): void {
    for (const { plot, box } of this.plots) plot.setSize(sizeOf(box));
  }
}

/** A line goes on over what is missing, unless that is long: then nothing was asked of the disks. */
const longestSpanSeconds = 3;

function longGaps(plot: uPlot, _series: number, _first: number, _last: number, gaps: uPlot.Series.Gaps) {
  const longest = plot.valToPos(longestSpanSeconds, 'x', true) - plot.valToPos(0, 'x', true);
  return gaps.filter(([from, to]) => to - from > longest);
}

const secondsApart = [1, 2, 5, 10, 15, 20, 30];

/** The legend needs a line below the plot. */
const legendHeight = 28;

function sizeOf(box: HTMLElement): { width: number; height: number } {
  return { width: Math.max(200, box.clientWidth), height: Math.max(90, box.clientHeight - legendHeight) };
}

/** A canvas does not know `light-dark()`: the colour as it is used at the moment. */
function colour(name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  probe.style.setProperty('forced-color-adjust', 'none');
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
