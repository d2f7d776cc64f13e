/** What `arch` measured: one section a protocol, plots over tables, each machine for itself. */
import { groupBy } from '../group.ts';
import { cellTable, metricsOf } from './cell-table.ts';
import { type Block, folded, heading, type Section, text, warnings } from './document.ts';
import { gridPlots } from './grid-plots.ts';
import { type Campaign, campaignsOf } from './machines.ts';
import { protocolsOf } from './places.ts';
import type { Stored } from './results.ts';
import { machineProtocol } from './roofline.ts';
import { capital } from './words.ts';

interface Described {
  readonly title: string;
  readonly about: string;
  /** Labels for the horizontal axis. */
  readonly over: readonly string[];
}

const protocols: Readonly<Record<string, Described>> = {
  paper: {
    title: 'One forward pass',
    about:
      "As in the paper's figure 9: a whole sequence in one pass, one at a time. RedLLM reads half of it as the source and half as the answer.",
    over: ['size'],
  },
  generation: {
    title: 'Generation',
    about: 'Answers token by token: the first token, each further one, whole requests, and what memory they take.',
    over: ['size', 'batch', 'answer', 'source'],
  },
  'equal-cost': {
    title: 'Generation at equal cost',
    about:
      'The same of a RedLLM whose decode step reads about as many weights as that of the DecLLM: the larger one of table 1, or one with more layers.',
    over: ['size', 'batch', 'answer', 'source'],
  },
  reuse: {
    title: 'Reuse',
    about: 'Requests of which a share brings a source that was there before, each with one answer or several.',
    over: ['repeat', 'n'],
  },
  length: {
    title: 'Length',
    about: 'What a longer source costs, and a longer answer.',
    over: ['source', 'answer', 'length'],
  },
};

export function architectureSections(records: readonly Stored[]): Section[] {
  const campaigns = campaignsOf(records, 'arch');
  // The machine's own rates stand with what is compared with them.
  const cells = campaigns.flatMap(({ cells }) => cells).filter(({ protocol }) => protocol !== machineProtocol);
  return protocolsOf(cells).map(protocol => {
    const described = protocols[protocol] ?? { title: capital(protocol), about: '', over: [] };
    return {
      id: `arch-${protocol}`,
      title: described.title,
      blocks: [text(described.about), ...campaigns.flatMap(campaign => blocksOf(campaign, protocol, described))],
    };
  });
}

function blocksOf(campaign: Campaign, protocol: string, { title, over }: Described): Block[] {
  const cells = campaign.cells.filter(cell => cell.protocol === protocol);
  if (cells.length === 0) return [];
  const { machine } = campaign;
  // What grows along two labels has plots of its own for each.
  const plots = [...groupBy(cells, ({ labels }) => labels.grows)].flatMap(([grows, group]) =>
    gridPlots({
      name: `arch ${protocol} ${grows ?? ''}`,
      machine,
      cells: group,
      over,
      series: 'model',
      metrics: metricsOf(group).filter(metric => !metric.endsWith('_flop')),
    }),
  );
  return [
    heading(machine),
    ...warnings(campaign.disturbed),
    ...(plots.length === 0 ? [text('Measured at one place only: there is a table, and nothing to plot.')] : plots),
    folded(cellTable(`${title}: every cell`, cells)),
  ];
}
