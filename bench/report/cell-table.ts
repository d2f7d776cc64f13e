/** Cells as a table: labels, then a column for each metric. */
import type { Cell } from '../record.ts';
import { type Column, measured, type Table } from './document.ts';
import { metricTitle } from './metrics.ts';
import { captionOf, columnsOf, compareLabels } from './places.ts';
import type { StoredCell } from './results.ts';

/** @param metrics those to show, in this order; all there are where it is left out */
export function cellTable(caption: string, cells: readonly StoredCell[], metrics = metricsOf(cells)): Table {
  const { names, same } = columnsOf(cells);
  // The models of one place stand under each other.
  const sorting = [...names.filter(name => name !== 'model'), 'model'];
  const manyFiles = new Set(cells.map(({ stored }) => stored.file)).size > 1;
  const labelColumn = (name: string): Column => ({
    title: name.replaceAll('_', ' '),
    numeric: cells.every(({ labels }) => typeof labels[name] !== 'string'),
  });
  return {
    kind: 'table',
    caption: captionOf(caption, same),
    columns: [
      ...names.map(labelColumn),
      ...metrics.map(metric => ({ title: metricTitle(metric, unitOf(cells, metric)), numeric: true })),
      { title: 'repetitions', numeric: true },
      ...(manyFiles ? [{ title: 'file' }] : []),
    ],
    rows: cells
      .toSorted((a, b) => compareLabels(a.labels, b.labels, sorting))
      .map(cell => [
        ...names.map(name => String(cell.labels[name] ?? '')),
        ...metrics.map(metric => measured(metric, cell.figures[metric])),
        repetitionsOf(cell, metrics),
        ...(manyFiles ? [cell.stored.file] : []),
      ]),
  };
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
