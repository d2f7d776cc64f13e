/** Plots as vega-lite says them: lines over an axis and dots in rows, both with quartiles, in panels beside each other. */
import type { Plot, Point } from './document.ts';
import { compareValues } from './places.ts';

export interface Axis {
  readonly title: string;
  /** Numbers by their logarithm to base 2 or 10, numbers as they are, or names. */
  readonly kind: 'log2' | 'log10' | 'linear' | 'names';
}

export type Described = Pick<Plot, 'name' | 'title' | 'note' | 'points'>;

/** Series that have a colour everywhere; others take what is left, in their order. */
const fixed: Readonly<Record<string, number>> = { RedLLM: 0, DecLLM: 1, 'DecLLM+BiAttn': 2 };

/** One of each to a slot. Colours are the style sheet's, for light and dark; what lies on top is smaller, and its line has gaps. */
const colours = [...[1, 2, 3, 4, 5, 6].map(i => `var(--series-${i})`), 'var(--ink-soft)'];
const shapes = ['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down', 'diamond'];
const sizes = [85, 65, 35, 45, 45, 45, 60];
const dashes = [
  [1, 0],
  [10, 3],
  [5, 5],
  [2, 3],
  [8, 3],
  [4, 2],
  [3, 4],
];
/** What the paper has stands back behind what was measured. */
const paperSlot = 6;

/** Lines with quartiles: one line a series, one panel for each value of `panel`. */
export function lineChart(described: Described, x: Axis, y: Axis, seriesTitle: string): Plot {
  const { points } = described;
  const { color, shape, size, strokeDash, sizing } = seriesChannels(points, seriesTitle);
  const horizontal = { field: 'x', ...horizontalType(points, x) };
  const vertical = { field: 'y', type: 'quantitative', ...verticalType(points, y) };
  return panelled(described, panelWidth, {
    height: 170,
    layer: [
      ...quartiles(points, { x: horizontal, y: { ...vertical, field: 'low' }, y2: { field: 'high' }, color }),
      { mark: { type: 'line', strokeWidth: 2 }, encoding: { x: horizontal, y: vertical, color, strokeDash } },
      {
        transform: [sizing],
        mark: { type: 'point', filled: true, opacity: 1 },
        encoding: { x: horizontal, y: vertical, color, shape, size },
      },
    ],
  });
}

/** Dots with quartiles, one row for each value of `y`, one panel for each value of `panel`; a line where `at` is. */
export function dotChart(described: Described, x: Axis, seriesTitle: string, at: number): Plot {
  const { points } = described;
  const { color, shape, size, sizing } = seriesChannels(points, seriesTitle);
  const rows = { field: 'y', type: 'nominal', sort: unique(points.map(({ y }) => y)), axis: { title: null } };
  const axis = { title: x.title, tickCount: 4, grid: true };
  const horizontal = { field: 'x', type: 'quantitative', axis, scale: { zero: true } };
  // Rows are named once, so all panels stand beside each other.
  return panelled(
    described,
    Math.max(110, Math.min(panelWidth * 1.4, 700 / panelsOf(points).length)),
    {
      height: { step: 20 },
      layer: [
        { mark: { type: 'rule', strokeDash: [4, 3], color: 'var(--ink-soft)' }, encoding: { x: { datum: at } } },
        ...quartiles(points, { x: { ...horizontal, field: 'low' }, x2: { field: 'high' }, y: rows, color }),
        {
          transform: [sizing],
          mark: { type: 'point', filled: true, opacity: 1 },
          encoding: { x: horizontal, y: rows, color, shape, size },
        },
      ],
    },
    Number.POSITIVE_INFINITY,
  );
}

/** From low to high, for those points that have both. */
function quartiles(points: readonly Point[], encoding: object): object[] {
  if (points.every(({ low }) => low === undefined)) return [];
  const transform = [{ filter: 'isValid(datum.low)' }];
  return [{ transform, mark: { type: 'rule', strokeWidth: 2 }, encoding }];
}

/** What tells series apart, and the legend; none where there is one series. */
function seriesChannels(points: readonly Point[], title: string) {
  const domain = unique(points.map(({ series }) => series));
  const free = [0, 1, 2, 3, 4, 5].filter(slot => !domain.some(name => fixed[name] === slot));
  const slots = domain.map(name => (name.endsWith(', the paper') ? paperSlot : (fixed[name] ?? free.shift() ?? 5)));
  // Equal legends become one.
  const look = { orient: 'top', direction: 'horizontal', symbolOpacity: 1, symbolStrokeWidth: 0 };
  const legend = domain.length > 1 ? { title, ...look } : null;
  const channel = (values: readonly unknown[]) => ({
    field: 'series',
    type: 'nominal',
    scale: { domain, range: slots.map(slot => values[slot]) },
    legend,
  });
  const sizeOf = `${JSON.stringify(slots.map(slot => sizes[slot]))}[indexof(${JSON.stringify(domain)}, datum.series)]`;
  return {
    color: channel(colours),
    shape: channel(shapes),
    strokeDash: channel(dashes),
    /** A size has no scale of its own: it is computed beside the data. */
    size: { field: 'size', type: 'quantitative', scale: null, legend: null },
    sizing: { calculate: sizeOf, as: 'size' },
  };
}

const panelWidth = 205;

/** Small multiples, at most so many beside each other; the single one has no heading, and is as wide as two. */
function panelled(described: Described, width: number, unit: Readonly<Record<string, unknown>>, most = 4): Plot {
  const data = { values: described.points };
  const panels = panelsOf(described.points);
  const facet = { field: 'panel', type: 'nominal', sort: panels, title: null };
  const spec =
    panels.length === 1
      ? { data, ...unit, width: 1.75 * panelWidth }
      : { data, facet, columns: columnsFor(panels.length, most), spec: { ...unit, width } };
  return { kind: 'plot', ...described, spec };
}

/** As few gaps in the last row as can be, then as few rows. */
function columnsFor(panels: number, most: number): number {
  if (panels <= most) return panels;
  return [4, 3, 2].toSorted((a, b) => ((a - (panels % a)) % a) - ((b - (panels % b)) % b) || b - a)[0]!;
}

function panelsOf(points: readonly Point[]): string[] {
  return unique(points.map(({ panel }) => panel));
}

function horizontalType(points: readonly Point[], { title, kind }: Axis): object {
  const values = unique(points.map(({ x }) => x));
  if (kind === 'names')
    return { type: 'ordinal', sort: values.toSorted(compareValues), axis: { title, labelAngle: 0 } };
  const scale =
    kind === 'linear' ? { zero: true } : { type: 'log', base: kind === 'log2' ? 2 : 10, nice: false, padding: 12 };
  const inK = "datum.value % 1024 === 0 ? datum.value / 1024 + 'K' : datum.label";
  const ticks =
    kind === 'log2' && values.length <= 7
      ? { values, labelExpr: inK, format: '~r', labelOverlap: true }
      : { tickCount: 5, format: '~s' };
  return { type: 'quantitative', scale, axis: { title, ...ticks } };
}

function verticalType(points: readonly Point[], { title, kind }: Axis): object {
  if (kind === 'linear') return { scale: { zero: true }, axis: { title, tickCount: 5 } };
  const values = points.flatMap(({ y, low = Number(y), high = Number(y) }) => [Number(y), low, high]);
  const [from, to] = [Math.min(...values), Math.max(...values)].map(value => Math.log10(value)) as [number, number];
  const powers = Array.from({ length: Math.ceil(to) - Math.floor(from) + 1 }, (_, i) => 10 ** (Math.floor(from) + i));
  return {
    scale: { type: 'log', base: 10, nice: true },
    axis: { title, values: powers, format: from < 0 ? '~g' : '~s' },
  };
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

/** By logarithm where small values would lie on the axis otherwise, and nothing is zero. */
export function axisKind(points: readonly Pick<Point, 'y' | 'low'>[]): 'linear' | 'log10' {
  const values = points.map(({ y }) => Number(y));
  const positive = values.every(value => value > 0) && points.every(({ low = 1 }) => low > 0);
  return positive && Math.max(...values) > 25 * Math.min(...values) ? 'log10' : 'linear';
}
