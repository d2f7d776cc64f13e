/** Cells as a table: labels, then a column for each metric. */
import type { Cell, Labels } from '../record.ts';
import { type Column, measured, type Table } from './document.ts';
import { metricTitle } from './metrics.ts';
import { captionOf, columnsOf, compareLabels, modelLast } from './places.ts';
import type { StoredCell } from './results.ts';

/** @param metrics those to show, in this order; all there are where it is left out */
export function cellTable(caption: string, cells: readonly StoredCell[], metrics = metricsOf(cells)): Table {
  const { names, same } = columnsOf(cells);
  const manyFiles = new Set(cells.map(({ stored }) => stored.file)).size > 1;
  return {
    kind: 'table',
    caption: captionOf(caption, same),
    columns: [
      ...labelColumns(cells, names),
      ...metrics.map(metric => ({ title: metricTitle(metric, unitOf(cells, metric)), numeric: true })),
      { title: 'repetitions', numeric: true },
      ...(manyFiles ? [{ title: 'file' }] : []),
    ],
    rows: cells
      .toSorted((a, b) => compareLabels(a.labels, b.labels, modelLast(names)))
      .map(cell => [
        ...labelWords(cell.labels, names),
        ...metrics.map(metric => measured(metric, cell.figures[metric])),
        repetitionsOf(cell, metrics),
        ...(manyFiles ? [cell.stored.file] : []),
      ]),
  };
}

/** The columns in which a table says where each of its rows stands. */
export function labelColumns(places: readonly { readonly labels: Labels }[], names: readonly string[]): Column[] {
  return names.map(name => ({
    title: name.replaceAll('_', ' '),
    numeric: places.every(({ labels }) => typeof labels[name] !== 'string'),
  }));
}

/** What stands in them in one row. */
export function labelWords(labels: Labels, names: readonly string[]): string[] {
  return names.map(name => String(labels[name] ?? ''));
}

export function metricsOf(cells: readonly Cell[]): string[] {
  return [...new Set(cells.flatMap(({ figures }) => Object.keys(figures)))];
}

export function unitOf(cells: readonly Cell[], metric: string): string {
  return cells.find(({ figures }) => Object.hasOwn(figures, metric))?.figures[metric]?.unit ?? '';
}

/** How many values a figure is of; what is computed and not timed has one, and does not count beside others. */
function repetitionsOf({ figures }: Cell, metrics: readonly string[]): string {
  const counts = metrics.flatMap(metric => figures[metric]?.repetitions.length ?? []);
  const several = counts.filter(count => count > 1);
  const [least, most] = [Math.min(...(several.length > 0 ? several : counts)), Math.max(...counts)];
  return least === most ? String(least) : `${least} to ${most}`;
}
