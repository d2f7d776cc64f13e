/** What metrics are called, in which unit they are shown, and whether more of them is better. */
import type { Figure } from '../record.ts';
import { shown } from '../table.ts';

export interface Metric {
  readonly title: string;
  /** As shown, which may be a multiple of the record's. */
  readonly unit: string;
  readonly better: 'higher' | 'lower' | null;
  /** Record's units in one that is shown. */
  readonly scale: number;
}

const known: Readonly<Record<string, [title: string, better: Metric['better']]>> = {
  examples_per_second: ['examples per second', 'higher'],
  ttft: ['time to first token', 'lower'],
  tpot: ['time per output token', 'lower'],
  itl: ['time between chunks', 'lower'],
  e2e: ['end to end', 'lower'],
  e2el: ['end to end', 'lower'],
  tokens_per_second: ['tokens per second', 'higher'],
  cached_share: ['prompts found cached', 'higher'],
  paper_flop: ["by the paper's formula", null],
  all_logits_flop: ['executed with all logits', null],
  executed_flop: ['executed', null],
  counted_flop: ['counted by the engine', null],
  bytes_per_second: ['memory read', 'higher'],
  flop_per_second: ['multiplied', 'higher'],
  weight_bytes: ['weights', 'lower'],
  kv_bytes: ['keys and values', 'lower'],
  request_throughput: ['completed requests', 'higher'],
  request_goodput: ['requests within the limits', 'higher'],
  output_throughput: ['output tokens', 'higher'],
  failed: ['failed', 'lower'],
  refused: ['refused', 'lower'],
  late: ['the client late', 'lower'],
  perplexity: ['perplexity', 'lower'],
  near: ['attention to the tokens just behind', null],
  seconds_per_item: ['time per answer', 'lower'],
  seconds_per_word: ['time per word', 'lower'],
  word_error_rate: ['WER', 'lower'],
  phoneme_error_rate: ['PER', 'lower'],
  word_error_rate_without_stress: ['WER without stress', 'lower'],
  phoneme_error_rate_without_stress: ['PER without stress', 'lower'],
  exact_match: ['exact match', 'higher'],
  edit_distance: ['edit distance', 'lower'],
  bleu: ['BLEU', 'higher'],
  chrf: ['chrF', 'higher'],
};

/** Units of records that are too small or too large to read, in those that are shown. */
const scaled: Readonly<Record<string, [unit: string, scale: number]>> = {
  s: ['ms', 1e-3],
  bytes: ['MiB', 2 ** 20],
  'B/s': ['GB/s', 1e9],
  FLOP: ['GFLOP', 1e9],
  'FLOP/s': ['GFLOP/s', 1e9],
};

export function metricOf(name: string, unit: string): Metric {
  const [, percentile, rest] = /^(p\d+)_(.+)$/.exec(name) ?? [];
  // Some records say the unit in the name, too.
  const plain = (rest ?? name).replace(/_ms$/, '');
  const [title, better] = known[plain] ?? [plain.replaceAll('_', ' '), null];
  const [larger, scale] = scaled[unit] ?? [unit, 1];
  return {
    title: percentile === undefined ? title : `${title}, ${percentile}`,
    unit: larger,
    better,
    scale,
  };
}

/** `time to first token (ms)`; the unit is left out where it says no more than the title. */
export function metricTitle(name: string, unit: string): string {
  const metric = metricOf(name, unit);
  return metric.title === metric.unit ? metric.title : `${metric.title} (${metric.unit})`;
}

export function shownValue(name: string, unit: string, value: number): string {
  return shown(value / metricOf(name, unit).scale);
}

/** How much of what the machine could do was done: 1 is all. A floor of time is reached from above, a rate from below. */
export function shareOfLimit(name: string, { unit, median, limit }: Figure): number | null {
  if (limit === undefined) return null;
  return metricOf(name, unit).better === 'higher' ? median / limit.value : limit.value / median;
}
