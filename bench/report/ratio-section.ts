/** The section of ratios: for each machine all in brief, then each protocol's as plots and a table. */
import { groupBy } from '../group.ts';
import { labelColumns, labelWords } from './cell-table.ts';
import { dotChart, lineChart } from './chart.ts';
import {
  type Block,
  folded,
  heading,
  measured,
  type Plot,
  type Point,
  quoted,
  type Section,
  sectionOf,
  type Table,
  warnings,
} from './document.ts';
import { disturbancesOf } from './machines.ts';
import { metricOf } from './metrics.ts';
import {
  captionOf,
  columnsOf,
  compareLabels,
  compareValues,
  noteOf,
  placeText,
  protocolsOf,
  sizeText,
  varyingLabels,
} from './places.ts';
import { favours, pairOf, protocolText, ratiosOf, type StoredRatio, summarise } from './ratios.ts';
import type { Stored } from './results.ts';
import { capital, slug } from './words.ts';

export function ratioSection(records: readonly Stored[]): Section[] {
  const about =
    'Both models of a pair ran in turns in one process, so what disturbed the machine fell on both. A ratio is that of repetitions with the same number; shown are medians and, behind them, quartiles. Where a grid has several places, the least and the greatest of their medians stand for them.';
  const byMachine = groupBy(ratiosOf(records), ({ machine }) => machine);
  return sectionOf('ratios', 'Ratios', about, [...byMachine].flatMap(machineBlocks));
}

function machineBlocks([machine, ratios]: [string, readonly StoredRatio[]]): Block[] {
  return [
    heading(machine),
    ...warnings(disturbancesOf(ratios.map(({ stored }) => stored))),
    summaryTable(ratios),
    ...protocolsOf(ratios).flatMap(protocol => {
      const ours = ratios.filter(ratio => ratio.protocol === protocol);
      // What grows along two labels has a plot of its own for each.
      const plots = [...groupBy(ours, ({ labels }) => labels.grows)].map(([grows, group]) => {
        const name = slug(`ratio ${protocol} ${grows ?? ''} ${machine}`);
        return bySize(name, group) ?? byPlace(name, group);
      });
      return [...plots, folded(ratioTable(`${capital(protocol)}: every ratio`, ours))];
    }),
  ];
}

function summaryTable(ratios: readonly StoredRatio[]): Table {
  return {
    kind: 'table',
    caption: 'In brief',
    columns: [
      { title: 'protocol' },
      { title: 'size', numeric: true },
      { title: 'pair' },
      { title: 'metric' },
      { title: 'places', numeric: true },
      { title: 'least', numeric: true },
      { title: 'greatest', numeric: true },
      { title: 'the paper', numeric: true },
      { title: 'first is better' },
    ],
    rows: summarise(ratios).map(summary => {
      const { size, metric, pair, places, least, greatest, paper } = summary;
      return [
        protocolText(summary),
        size,
        pair,
        metricOf(metric, '').title,
        String(places.length),
        measured('ratio', least.figure),
        places.length === 1 ? '' : measured('ratio', greatest.figure),
        quoted(paper),
        favours(metric),
      ];
    }),
  };
}

/** One metric over the sizes, with the paper's line; nothing where there is one size or more than a place to each. */
function bySize(name: string, ratios: readonly StoredRatio[]): Plot | null {
  const varying = varyingLabels(ratios);
  const metrics = new Set(ratios.map(({ metric }) => metric));
  if (metrics.size !== 1 || varying.length !== 1 || varying[0] !== 'size') return null;
  const { title } = metricOf(ratios[0]!.metric, '');
  const sorted = ratios.toSorted((a, b) => compareLabels(a.labels, b.labels, ['size']));
  const points = withPaper(sorted, ({ labels, figure, paper }, quotes) => ({
    x: sizeText(labels.size!),
    y: quotes ? paper! : figure.median,
    panel: '',
  }));
  return lineChart(
    { name, title: `Ratio of ${title} by size`, note: noteOf(ratios[0]!.machine, ratios), points },
    { title: 'size', kind: 'names' },
    { title: `ratio of ${title}`, kind: 'linear' },
    'pair',
  );
}

function byPlace(name: string, ratios: readonly StoredRatio[]): Plot {
  const varying = varyingLabels(ratios);
  const sorted = ratios.toSorted((a, b) => compareLabels(a.labels, b.labels, varying));
  const points = withPaper(sorted, ({ protocol, labels, metric, figure, paper }, quotes) => ({
    x: quotes ? paper! : figure.median,
    y: placeText(labels, varying) || protocol,
    panel: metricOf(metric, '').title,
  }));
  return dotChart(
    { name, title: `${capital(ratios[0]!.protocol)}: ratios`, note: noteOf(ratios[0]!.machine, ratios), points },
    { title: 'ratio', kind: 'linear' },
    'pair',
    1,
  );
}

/** Points of what was measured, with quartiles; behind them the paper's, as series of their own. */
function withPaper(
  ratios: readonly StoredRatio[],
  at: (ratio: StoredRatio, quotes: boolean) => Pick<Point, 'x' | 'y' | 'panel'>,
): Point[] {
  const found = ratios.map((ratio): Point => {
    const { low, high } = ratio.figure;
    return { ...at(ratio, false), series: pairOf(ratio), ...(low < high ? { low, high } : {}) };
  });
  const quotes = ratios.filter(({ paper }) => paper !== undefined);
  return [...found, ...quotes.map(ratio => ({ ...at(ratio, true), series: `${pairOf(ratio)}, the paper` }))];
}

function ratioTable(caption: string, ratios: readonly StoredRatio[]): Table {
  const { names, same } = columnsOf(ratios);
  const quotes = ratios.some(({ paper }) => paper !== undefined);
  return {
    kind: 'table',
    caption: captionOf(caption, same),
    columns: [
      ...labelColumns(ratios, names),
      { title: 'metric' },
      { title: 'pair' },
      { title: 'ratio', numeric: true },
      ...(quotes ? [{ title: 'the paper', numeric: true }] : []),
      { title: 'first is better' },
      { title: 'repetitions', numeric: true },
      { title: 'file' },
    ],
    rows: ratios
      .toSorted((a, b) => compareLabels(a.labels, b.labels, names) || compareValues(a.metric, b.metric))
      .map(ratio => [
        ...labelWords(ratio.labels, names),
        metricOf(ratio.metric, '').title,
        `${ratio.above} / ${ratio.below}`,
        measured('ratio', ratio.figure),
        ...(quotes ? [quoted(ratio.paper)] : []),
        favours(ratio.metric),
        String(ratio.figure.repetitions.length),
        ratio.stored.file,
      ]),
  };
}
