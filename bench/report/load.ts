/** What `serve` measured: load curves, where the rate of requests grows until a server cannot follow. */
import { cellTable, metricsOf } from './cell-table.ts';
import { type Block, folded, heading, type Section, sectionOf, text, warnings } from './document.ts';
import { gridPlots } from './grid-plots.ts';
import { type Campaign, campaignsOf } from './machines.ts';
import type { Stored } from './results.ts';

/** Those that a curve shows best; the table has all. */
const curves = [
  'ttft',
  'p99_ttft',
  'tpot',
  'p99_tpot',
  'e2el',
  'request_throughput',
  'request_goodput',
  'output_throughput',
];

export function loadSection(records: readonly Stored[]): Section[] {
  const about =
    'Requests came when they were due, whatever had become of those before them. Latencies are medians and quartiles of all requests of a load; p99 and throughput have one value a run. A row of the null server is what this client reached against a server that answers at once: its own ceiling.';
  return sectionOf('load', 'Load', about, campaignsOf(records, 'serve').flatMap(campaignBlocks));
}

function campaignBlocks({ machine, cells, disturbed }: Campaign): Block[] {
  const paced = cells.filter(({ protocol, labels }) => protocol !== 'null' && typeof labels.rate === 'number');
  const metrics = metricsOf(paced);
  const plots = gridPlots({
    name: 'load',
    machine,
    cells: paced,
    over: ['rate'],
    series: 'server',
    metrics: curves.filter(name => metrics.includes(name)),
  });
  const none = text('No load was measured at two rates, so there is no curve; the table has what was measured.');
  return [
    heading(machine),
    ...warnings(disturbed),
    ...(plots.length === 0 ? [none] : plots),
    folded(cellTable('Load: every cell', cells)),
  ];
}
