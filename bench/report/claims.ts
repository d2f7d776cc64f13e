/**
 * The paper's abstract (arXiv 2510.26622), claim by claim and in our words, beside what the records have on it. What the records
 * have nothing on says so: a claim is not shown by being read.
 */
import { groupBy } from '../group.ts';
import { measured, type Piece, quoted, type Reference, type Section, type Table, text } from './document.ts';
import { machineOf } from './machines.ts';
import { metricOf } from './metrics.ts';
import { familyOf, labelNames, placeText } from './places.ts';
import { pairOf, rangeOf, ratiosOf, type StoredRatio, type Summary, summarise } from './ratios.ts';
import type { Stored, StoredCell } from './results.ts';

interface Claim {
  readonly claimed: string;
  /** Nothing where the records have nothing on it. */
  readonly found: (records: readonly Stored[]) => Found | null;
  /** Why, in that case. */
  readonly missing: string;
}

interface Found {
  readonly measured: readonly Piece[];
  readonly where: readonly Piece[];
}

const untrained = "Not measured here: it takes the paper's pretraining, and none of its weights are public.";

const claims: readonly Claim[] = [
  {
    claimed: 'RedLLM is compared with DecLLM at like sizes, from about 150M to about 8B parameters.',
    found: weights,
    missing: 'Not measured here: no record has the weights of both architectures.',
  },
  {
    claimed: 'RedLLM serves with substantially better efficiency: a sequence in one forward pass (its figure 9).',
    found: records => ratioFindings(records, 'paper', ['examples_per_second']),
    missing: "Not measured here: no record has the paper's protocol.",
  },
  {
    claimed:
      'The same for answers that are generated token by token, which the paper does not time; its summaries speak of about half the latency.',
    found: records => ratioFindings(records, 'generation', ['ttft_ms', 'tpot_ms', 'e2e_ms', 'tokens_per_second']),
    missing: 'Not measured here: no record has the protocol of generation.',
  },
  {
    claimed: 'RedLLM extrapolates to longer contexts about as well as DecLLM.',
    found: extrapolation,
    missing:
      "Not measured here: no record has the perplexity of both architectures at several lengths. None of the paper's weights are public.",
  },
  {
    claimed: 'RedLLM scales about as well as DecLLM as models and compute grow.',
    found: () => null,
    missing: untrained,
  },
  {
    claimed: 'DecLLM makes more of the compute that pretraining takes.',
    found: () => null,
    missing: untrained,
  },
  {
    claimed: 'After instruction tuning, RedLLM is as good on many tasks, and better on some.',
    found: finetuned,
    missing: "Not measured here: it takes the paper's finetuned weights, and none are public.",
  },
];

export function claimSection(records: readonly Stored[]): Section {
  const table: Table = {
    kind: 'table',
    caption: 'Claims of the abstract',
    columns: [
      { title: 'claimed', prose: 'narrow' },
      { title: 'measured', prose: 'wide' },
      { title: 'where', prose: 'narrow' },
    ],
    rows: claims.map(({ claimed, found, missing }) => {
      const finding = found(records);
      return finding === null ? [claimed, missing, ''] : [claimed, finding.measured, finding.where];
    }),
  };
  const about =
    'What the abstract of "Encoder-Decoder or Decoder-Only? Revisiting Encoder-Decoder Large Language Model" (arXiv 2510.26622) says, in our words. Medians stand before their quartiles; models whose weights are random compute as fast as trained ones, and say nothing of quality.';
  return { id: 'claims', title: 'Claims', blocks: [text(about), table] };
}

/** RedLLM over DecLLM: for each machine a line a size and metric. */
function ratioFindings(records: readonly Stored[], protocol: string, metrics: readonly string[]): Found | null {
  const ratios = ratiosOf(records).filter(
    ratio => ratio.protocol === protocol && metrics.includes(ratio.metric) && pairOf(ratio) === 'RedLLM / DecLLM',
  );
  if (ratios.length === 0) return null;
  const lines = [...groupBy(summarise(ratios), ({ machine }) => machine)].flatMap(([machine, summaries]): Piece[] => [
    `RedLLM / DecLLM on ${machine}${summaries.some(({ disturbed }) => disturbed) ? ' (disturbed)' : ''}:\n`,
    ...summaries.flatMap(summaryPieces),
  ]);
  return { measured: lines, where: [...filesOf(ratios), seeRatios] };
}

function summaryPieces(summary: Summary): Piece[] {
  const { size, metric, paper } = summary;
  const what = `${size === '' ? '' : `${size}, `}${metricOf(metric, '').title}: `;
  return [what, ...rangeOf(summary), ...(paper === undefined ? [] : [', the paper ', quoted(paper)]), '\n'];
}

const seeRatios: Reference = { kind: 'reference', text: 'Ratios', to: 'ratios' };

/** Files, and in each the cells by protocol, metric and how many. */
function filesOf(ratios: readonly StoredRatio[]): Piece[] {
  return [...groupBy(ratios, ({ stored }) => stored.file)].flatMap(([file, group]) => [
    `${file}: ratios of ${[...new Set(group.map(({ protocol }) => protocol))].join(', ')}, ${[...new Set(group.map(({ metric }) => metric))].join(', ')}.\n`,
  ]);
}

/** Bytes of weights, of the architectures at each size. */
function weights(records: readonly Stored[]): Found | null {
  const cells = cellsOf(records, 'arch', 'weight_bytes');
  const bySize = groupBy(cells, cell => JSON.stringify([machineOf(cell.stored.record), cell.labels.size]));
  const pairs = [...bySize.values()].flatMap(group => {
    const of = (family: string) => group.find(({ labels }) => familyOf(String(labels.model)) === family);
    const [red, dec] = [of('RedLLM'), of('DecLLM')];
    return red && dec ? [[red, dec] as const] : [];
  });
  if (pairs.length === 0) return null;
  return {
    measured: pairs.flatMap(([red, dec]): Piece[] => [
      `${String(red.labels.model)} `,
      measured('weight_bytes', red.figures.weight_bytes),
      ` MiB of weights, ${String(dec.labels.model)} `,
      measured('weight_bytes', dec.figures.weight_bytes),
      ` MiB on ${machineOf(red.stored.record)}.\n`,
    ]),
    where: whereCells(pairs.flat(), 'weight_bytes'),
  };
}

/** Perplexity of both architectures, at the least and the greatest length of each prefix. */
function extrapolation(records: readonly Stored[]): Found | null {
  const cells = cellsOf(records, 'quality', 'perplexity').filter(
    ({ labels: { model, length, position } }) =>
      typeof length === 'number' && position === undefined && /^(red|dec)llm/i.test(String(model)),
  );
  const families = new Set(cells.map(({ labels }) => familyOf(String(labels.model))));
  if (!families.has('RedLLM') || !families.has('DecLLM')) return null;
  const lines = groupBy(cells, ({ labels: { length: _, ...others } }) => JSON.stringify(others));
  const grown = [...lines.values()].filter(line => line.length > 1);
  if (grown.length === 0) return null;
  const ends = grown.map(line => {
    const sorted = line.toSorted((a, b) => Number(a.labels.length) - Number(b.labels.length));
    return [sorted[0]!, sorted.at(-1)!] as const;
  });
  return {
    measured: [
      "Of checkpoints with other weights than the paper's:\n",
      ...ends.flatMap(([short, long]): Piece[] => [
        `${placeText(
          short.labels,
          labelNames([short]).filter(name => name !== 'length'),
        )}: perplexity `,
        measured('perplexity', short.figures.perplexity),
        ` at ${short.labels.length} tokens, `,
        measured('perplexity', long.figures.perplexity),
        ` at ${long.labels.length} (${machineOf(short.stored.record)}${short.stored.record.disturbed.length > 0 ? '; disturbed' : ''}).\n`,
      ]),
    ],
    where: [...whereCells(ends.flat(), 'perplexity'), { kind: 'reference', text: 'Quality', to: 'quality' }],
  };
}

/** One small task is not the paper's many: word error rates of models that were trained on it alone. */
function finetuned(records: readonly Stored[]): Found | null {
  const metric = 'word_error_rate_without_stress';
  const cells = cellsOf(records, 'quality', metric).filter(({ labels }) => labels.concurrency === 1);
  const families = new Set(cells.map(({ labels }) => familyOf(String(labels.model))));
  if (!families.has('RedLLM') || !families.has('DecLLM')) return null;
  return {
    measured: [
      "On one small task, words to phonemes, of small models trained on nothing else, which says little of the paper's. WER without stress:\n",
      ...cells.flatMap(({ labels, figures }): Piece[] => [
        `${labels.model}, ${labels.beams === 1 ? 'greedy' : `${labels.beams} beams`}: `,
        measured(metric, figures[metric]),
        ' %.\n',
      ]),
    ],
    where: [...whereCells(cells, metric), { kind: 'reference', text: 'Quality', to: 'quality' }],
  };
}

function cellsOf(records: readonly Stored[], benchmark: string, metric: string): StoredCell[] {
  return records
    .filter(({ record }) => record.benchmark === benchmark)
    .flatMap(stored => stored.record.cells.map(cell => ({ ...cell, stored })))
    .filter(({ figures }) => Object.hasOwn(figures, metric));
}

function whereCells(cells: readonly StoredCell[], metric: string): Piece[] {
  return [...groupBy(cells, ({ stored, protocol }) => `${stored.file}: cells of ${protocol}, ${metric}.\n`).keys()];
}
