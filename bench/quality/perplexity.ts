/**
 * The extrapolation protocol: how well a model foretells what follows a prefix, by how much of it there is and by where it stands.
 * An encoder-decoder has the prefix as its source, a decoder-only model as its prompt (whose tokens see each other where its mask
 * says so). What follows is never generated but given, and scored token by token.
 */
import type { Generator } from '../../src/generate.ts';
import type { ServedModel } from '../../src/served-model.ts';
import type { Say } from '../command.ts';
import { inParallel } from '../parallel.ts';
import { type Cell, figure, type Labels } from '../record.ts';
import { quantile } from '../statistics.ts';
import type { Windows } from './windows.ts';

/** Windows that are scored side by side. */
const AT_A_TIME = 4;

/** One figure over all windows: of their tokens together, where a cell's repetitions are the windows'. */
export interface Pooled {
  readonly protocol: string;
  readonly labels: Labels;
  readonly perplexity: number;
  readonly tokens: number;
}

export interface Perplexities {
  readonly cells: Cell[];
  readonly pooled: Pooled[];
}

/** @param bin positions of a figure by position */
export async function perplexities(
  generator: Generator,
  model: ServedModel,
  { start, windows, lengths }: Windows,
  bin: number,
  say: Say,
): Promise<Perplexities> {
  const found: Perplexities = { cells: [], pooled: [] };
  for (const [prefix, ends] of lengths) {
    // What follows does not change what comes before it: the longest has all the shorter ones.
    const longest = ends.at(-1)!;
    const scores = await inParallel(windows, AT_A_TIME, window =>
      scoreWindow(generator, model, [...start, ...window.slice(0, prefix)], window.slice(prefix, longest)),
    );
    say(`${model.name}, prefix ${prefix}: ${windows.length} windows of ${longest} tokens scored`);
    const add = (protocol: string, place: Labels, from: number, to: number) => {
      const labels = { model: model.name, prefix, ...place };
      const cut = scores.map(logprobs => logprobs.slice(from - prefix, to - prefix));
      const each = cut.map(perplexity);
      found.cells.push({ protocol, labels, figures: { perplexity: figure('perplexity', each) } });
      const all = cut.flat();
      found.pooled.push({ protocol, labels, perplexity: perplexity(all), tokens: all.length });
    };
    for (const length of ends) add('perplexity by length', { length }, prefix, length);
    for (let first = prefix - (prefix % bin); first < longest; first += bin)
      add('perplexity by position', { position: first, bin }, Math.max(first, prefix), Math.min(first + bin, longest));
  }
  return found;
}

/** Log-probabilities of the targets behind the prefix. */
async function scoreWindow(
  generator: Generator,
  model: ServedModel,
  prompt: readonly number[],
  target: readonly number[],
): Promise<number[]> {
  const request = { model: model.name, prompt, candidates: [target], appendEos: false };
  const { scores } = await generator.score(request, 1);
  return scores[0]!.logprobs.map(({ logprob }) => logprob);
}

/** exp of the mean of -log p. */
export function perplexity(logprobs: readonly number[]): number {
  return Math.exp(-logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length);
}

/** What a table shows of a record's cells and pooled values. */
export function perplexityTable({ cells, pooled }: Perplexities) {
  return cells.flatMap(({ protocol, labels, figures }, i) => {
    if (protocol !== 'perplexity by length') return [];
    const { repetitions, median } = figures.perplexity!;
    return [
      {
        model: String(labels.model),
        prefix: labels.prefix!,
        length: labels.length!,
        windows: repetitions.length,
        pooled: pooled[i]!.perplexity.toPrecision(5),
        'median window': median.toPrecision(5),
        lowest: quantile(repetitions, 0).toPrecision(5),
        highest: quantile(repetitions, 1).toPrecision(5),
      },
    ];
  });
}
