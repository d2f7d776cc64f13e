/** What `quality` measured: perplexity against length and position, answers against references, and where attention looks. */
import { cellTable, metricsOf, unitOf } from './cell-table.ts';
import { type Block, folded, heading, type Section, sectionOf, warnings } from './document.ts';
import { type Grid, gridPlots } from './grid-plots.ts';
import { type Campaign, campaignsOf } from './machines.ts';
import { protocolsOf } from './places.ts';
import type { Stored, StoredCell } from './results.ts';
import { wordTable } from './word-table.ts';
import { capital } from './words.ts';

export function qualitySection(records: readonly Stored[]): Section[] {
  const about =
    'Of the checkpoints that the records name: what a model makes of text depends on its weights. Perplexity is that of the text behind the prefix, and its repetitions are windows of the text.';
  return sectionOf('quality', 'Quality', about, campaignsOf(records, 'quality').flatMap(campaignBlocks));
}

function campaignBlocks(campaign: Campaign): Block[] {
  return [
    heading(campaign.machine),
    ...warnings(campaign.disturbed),
    ...protocolsOf(campaign.cells).flatMap(protocol => {
      const cells = campaign.cells.filter(cell => cell.protocol === protocol);
      return [
        ...(protocol === 'phonemes' ? [wordTable(cells)] : []),
        ...plotsOf(protocol, campaign.machine, cells),
        folded(cellTable(`${capital(protocol)}: every cell`, cells)),
      ];
    }),
  ];
}

/** A line a prefix where there are several, else a line a model. */
function plotsOf(protocol: string, machine: string, cells: readonly StoredCell[]) {
  const prefixes = new Set(cells.map(({ labels }) => labels.prefix));
  const series: Grid['series'] = prefixes.size > 1 ? 'prefix' : 'model';
  const answers = cells.some(({ labels }) => labels.concurrency !== undefined);
  // Company changes no answer: of answers only what they took is worth a plot.
  const metrics = metricsOf(cells).filter(metric => !answers || ['s', 'tokens/s'].includes(unitOf(cells, metric)));
  return gridPlots({
    name: `quality ${protocol}`,
    machine,
    cells,
    over: ['position', 'length', 'layer', 'concurrency'],
    series,
    metrics,
  });
}
