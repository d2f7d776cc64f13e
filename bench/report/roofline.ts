/** How far every cell is from what the machine could do at best, by what was measured in the same run. */
import { groupBy } from '../group.ts';
import { cellTable, labelColumns, labelWords } from './cell-table.ts';
import { dotChart } from './chart.ts';
import {
  type Block,
  folded,
  heading,
  measured,
  type Plot,
  type Point,
  type Section,
  sectionOf,
  type Table,
  warnings,
} from './document.ts';
import { type Campaign, campaignsOf } from './machines.ts';
import { metricOf, metricTitle, shareOfLimit } from './metrics.ts';
import {
  captionOf,
  columnsOf,
  compareFamilies,
  compareLabels,
  familyOf,
  modelLast,
  noteOf,
  placeText,
  protocolsOf,
  varyingLabels,
} from './places.ts';
import type { Stored, StoredCell } from './results.ts';
import { capital, slug } from './words.ts';

/** Of the cells of the machine itself: at which rates it read and multiplied in this run. */
export const machineProtocol = 'machine';

interface Bounded {
  readonly cell: StoredCell;
  readonly metric: string;
}

export function rooflineSection(records: readonly Stored[]): Section[] {
  const about =
    'The limit of a cell is computed from bytes and operations, and from the rates at which this machine read and multiplied in the same run. At 100 % the cell took no longer than that; what is beyond 100 % says that the limit was measured too low.';
  return sectionOf('roofline', 'Distance from the limit', about, campaignsOf(records, 'arch').flatMap(blocksOf));
}

function blocksOf(campaign: Campaign): Block[] {
  const bounded = campaign.cells.flatMap(cell =>
    Object.entries(cell.figures).flatMap(([metric, { limit }]): Bounded[] => (limit ? [{ cell, metric }] : [])),
  );
  if (bounded.length === 0) return [];
  const rates = campaign.cells.filter(({ protocol }) => protocol === machineProtocol);
  const byProtocol = groupBy(bounded, ({ cell }) => cell.protocol);
  return [
    heading(campaign.machine),
    ...warnings(campaign.disturbed),
    ...(rates.length === 0 ? [] : [cellTable('What the machine gave in the same run', rates)]),
    ...protocolsOf(campaign.cells).flatMap(protocol => {
      const group = byProtocol.get(protocol) ?? [];
      return group.length === 0 ? [] : [plotOf(protocol, campaign.machine, group), folded(tableOf(protocol, group))];
    }),
  ];
}

function plotOf(protocol: string, machine: string, bounded: readonly Bounded[]): Plot {
  const cells = bounded.map(({ cell }) => cell);
  const varying = varyingLabels(cells).filter(name => name !== 'model');
  const points = bounded
    .toSorted((a, b) => compareLabels(a.cell.labels, b.cell.labels, varying))
    .map(
      ({ cell, metric }): Point => ({
        x: 100 * shareOfLimit(metric, cell.figures[metric]!)!,
        y: placeText(cell.labels, varying) || protocol,
        series: familyOf(String(cell.labels.model)),
        panel: metricOf(metric, '').title,
      }),
    )
    .toSorted((a, b) => compareFamilies(a.series, b.series));
  return dotChart(
    {
      name: slug(`limit ${protocol} ${machine}`),
      title: `${capital(protocol)}: share of the limit`,
      note: noteOf(machine, cells, 'model'),
      points,
    },
    { title: 'share of the limit (%)', kind: 'linear' },
    'architecture',
    100,
  );
}

function tableOf(protocol: string, bounded: readonly Bounded[]): Table {
  const cells = bounded.map(({ cell }) => cell);
  const { names, same } = columnsOf(cells);
  return {
    kind: 'table',
    caption: captionOf(`${capital(protocol)}: distance from the limit, every cell`, same),
    columns: [
      ...labelColumns(cells, names),
      { title: 'metric' },
      { title: 'measured', numeric: true },
      { title: 'limit', numeric: true },
      { title: 'share', numeric: true },
      { title: 'the limit is', prose: 'narrow' },
    ],
    rows: bounded
      .toSorted((a, b) => compareLabels(a.cell.labels, b.cell.labels, modelLast(names)))
      .map(({ cell, metric }) => {
        const figure = cell.figures[metric]!;
        return [
          ...labelWords(cell.labels, names),
          metricTitle(metric, figure.unit),
          measured(metric, figure),
          { kind: 'limit', metric, figure },
          { kind: 'share', metric, figure },
          figure.limit!.because,
        ];
      }),
  };
}
