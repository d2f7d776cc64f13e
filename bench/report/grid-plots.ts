/** Cells of a grid as plots: a metric over one label, models as lines, every other label that varies as panels. */
import { groupBy } from '../group.ts';
import type { Cell } from '../record.ts';
import { metricsOf, unitOf } from './cell-table.ts';
import { type Axis, axisKind, lineChart } from './chart.ts';
import type { Plot, Point } from './document.ts';
import { metricOf, metricTitle } from './metrics.ts';
import { compareFamilies, compareLabels, familyOf, noteOf, placeText, sizeText, varyingLabels } from './places.ts';
import type { StoredCell } from './results.ts';
import { capital, slug } from './words.ts';

export interface Grid {
  /** The first words of the plots' file names. */
  readonly name: string;
  readonly machine: string;
  readonly cells: readonly StoredCell[];
  /** Labels for the axis: the first that varies is taken. */
  readonly over: readonly string[];
  /** Which label tells lines apart. */
  readonly series: 'model' | 'prefix' | 'server';
  /** Those to plot; all there are where it is left out. */
  readonly metrics?: readonly string[];
}

const axisTitles: Readonly<Record<string, string>> = {
  size: 'size',
  batch: 'batch (requests)',
  source: 'source (tokens)',
  answer: 'answer (tokens)',
  length: 'length (tokens)',
  position: 'position (tokens)',
  repeat: 'sources seen before (%)',
  n: 'answers to each request',
  rate: 'request rate (1/s)',
  concurrency: 'requests at a time',
};

/** Labels along which lengths double. */
const lengths = ['source', 'answer', 'length'];

/** No plot for what was measured at one place only. */
export function gridPlots(grid: Grid): Plot[] {
  return (grid.metrics ?? metricsOf(grid.cells)).flatMap(metric => {
    const cells = grid.cells.filter(({ figures }) => Object.hasOwn(figures, metric));
    const varying = varyingLabels(cells).filter(name => name !== grid.series);
    const over = grid.over.find(name => varying.includes(name));
    return over === undefined ? [] : [plotOf(grid, cells, metric, over)];
  });
}

function plotOf(grid: Grid, cells: readonly StoredCell[], metric: string, over: string): Plot {
  const unit = unitOf(cells, metric);
  const { title, scale } = metricOf(metric, unit);
  const varying = varyingLabels(cells);
  const panels = varying.filter(
    name => name !== grid.series && name !== over && !impliedBySeries(cells, grid.series, name),
  );
  const seriesOf = seriesNames(cells, grid.series, [...panels, over]);
  const points = cells
    .toSorted((a, b) => compareLabels(a.labels, b.labels, [...panels, over]))
    .map((cell): Point => {
      const { median, low, high } = cell.figures[metric]!;
      const x = cell.labels[over]!;
      return {
        x: over === 'size' ? sizeText(x) : x,
        y: median / scale,
        series: seriesOf(cell),
        panel: placeText(cell.labels, panels),
        ...(low < high ? { low: low / scale, high: high / scale } : {}),
      };
    })
    .toSorted((a, b) => compareFamilies(a.series, b.series));
  const axis = axisTitles[over] ?? over.replaceAll('_', ' ');
  return lineChart(
    {
      name: slug([grid.name, metric, grid.machine].join(' ')),
      title: `${capital(title)} by ${axis.replace(/ \(.*/, '')}`,
      note: noteOf(grid.machine, cells, grid.series),
      points,
    },
    { title: axis, kind: horizontalKind(over, points) },
    { title: metricTitle(metric, unit), kind: axisKind(points) },
    grid.series === 'model' ? 'architecture' : grid.series,
  );
}

/** Whether a label says no more than which line it is: one value for each, as a server's only model. */
function impliedBySeries(cells: readonly StoredCell[], label: Grid['series'], name: string): boolean {
  const lineOf = ({ labels }: Cell) => (label === 'model' ? familyOf(String(labels.model ?? '')) : labels[label]);
  const lines = groupBy(cells, lineOf);
  return (
    lines.size > 1 && [...lines.values()].every(line => new Set(line.map(({ labels }) => labels[name])).size === 1)
  );
}

function horizontalKind(over: string, points: readonly Point[]): Axis['kind'] {
  if (!points.every(({ x }) => typeof x === 'number' && x >= 0)) return 'names';
  if (lengths.includes(over)) return points.every(({ x }) => Number(x) > 0) ? 'log2' : 'linear';
  return ['rate', 'position', 'layer'].includes(over) ? 'linear' : 'names';
}

/** Architectures, where that tells the cells of each place apart; else what the label says. */
function seriesNames(cells: readonly Cell[], label: Grid['series'], places: readonly string[]): (cell: Cell) => string {
  if (label !== 'model')
    return ({ labels }) => (label === 'prefix' ? `prefix ${labels.prefix}` : String(labels[label] ?? ''));
  const family = ({ labels }: Cell) => familyOf(String(labels.model ?? ''));
  const taken = groupBy(cells, cell => JSON.stringify([family(cell), places.map(name => cell.labels[name])]));
  return taken.size === cells.length ? family : ({ labels }) => String(labels.model ?? '');
}
