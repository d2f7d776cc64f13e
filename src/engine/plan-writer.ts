/** Turns a Step into the flat arrays of plan.ts, and reads from them what its samples gave. */

import type { ModelSpec } from '../models/spec.ts';
import type { ModelFootprint } from '../native.ts';
import type { EncoderRun } from './encoder-runs.ts';
import type { ModelLimits } from './limits.ts';
import { NgramBans } from './ngram-bans.ts';
import { COUNT, type Plan } from './plan.ts';
import type { TokenLogprobs } from './protocol.ts';
import { bannedTokens, forcedToken, hasBans } from './sampling.ts';
import { scoreQueries } from './scoring.ts';
import type { Sequence } from './sequence.ts';
import type { SampleResults } from './sequence-events.ts';
import type { Source } from './source-cache.ts';
import type { Step, StepRow } from './step.ts';

export class PlanWriter implements SampleResults {
  readonly #plan: Plan;
  readonly #crossGroups: number;
  readonly #encoderLayers: number;
  readonly #maxSource: number;
  readonly #batchTokens: number;
  readonly #afterSource: boolean;
  readonly #prefixMask: boolean;
  readonly #alternatives: number;
  readonly #ngrams = new NgramBans();
  /** Serials of the sequences whose parameters stand at each sample; -1: nobody's. */
  readonly #sampled: Int32Array;

  /** @param alternatives limits.alternatives of the plan */
  constructor(plan: Plan, spec: ModelSpec, footprint: ModelFootprint, limits: ModelLimits, alternatives: number) {
    this.#plan = plan;
    this.#crossGroups = footprint.groups.filter(group => group.kind === 'cross').length;
    this.#maxSource = limits.maxSource;
    this.#batchTokens = limits.batchTokens;
    this.#encoderLayers = spec.encoder?.layers.length ?? 0;
    this.#afterSource = spec.decoderPositions === 'after-source';
    this.#prefixMask = spec.mask === 'prefix';
    this.#alternatives = alternatives;
    this.#sampled = new Int32Array(plan.sampleToken.length).fill(-1);
  }

  write(step: Step): void {
    this.#writeSources(step.sources);
    this.#writeRows(step.rows);
    this.#writeCopies(step.copies);
    this.#writeSamples(step.rows);
  }

  #writeSources(runs: readonly EncoderRun[]): void {
    const plan = this.#plan;
    let token = 0;
    let page = 0;
    let table = 0;
    // States of a source that takes more than one step stand at the beginning of the buffer, where nothing else does.
    let state = this.#maxSource;
    fits(runs.length, plan.sourceState, 'sources');
    for (let i = 0; i < runs.length; i++) {
      const { source, first, last } = runs[i]!;
      const { tokens, tables } = source;
      const cut = first > 0 || last < this.#encoderLayers || tokens.length > this.#batchTokens;
      fits(token + tokens.length, plan.sourceTokens, 'source tokens');
      plan.sourceStart[i] = token;
      plan.sourceState[i] = cut ? 0 : state;
      plan.sourceFirstLayer[i] = first;
      plan.sourceLastLayer[i] = last;
      plan.sourceTokens.set(tokens, token);
      token += tokens.length;
      if (!cut) state += tokens.length;
      for (const pages of tables) {
        plan.sourcePageStart[table++] = page;
        fits(page + pages.length, plan.sourcePages, 'pages of sources');
        plan.sourcePages.set(pages, page);
        page += pages.length;
      }
    }
    plan.sourceStart[runs.length] = token;
    plan.sourcePageStart[table] = page;
    plan.counts[COUNT.sources] = runs.length;
  }

  #writeRows(rows: readonly StepRow[]): void {
    const plan = this.#plan;
    let token = 0;
    let page = 0;
    let table = 0;
    // Rows that read one source stand side by side.
    let group = -1;
    let before: Source | null = null;
    let decodes = 0;
    fits(rows.length, plan.rowIndex, 'rows');
    for (let i = 0; i < rows.length; i++) {
      const { sequence, kind, start, count } = rows[i]!;
      if (kind === 'decode') decodes++;
      const { source } = sequence.request;
      const sourceLength = source?.tokens.length ?? 0;
      fits(token + count, plan.tokens, 'tokens');
      plan.rowStart[i] = token;
      plan.rowIndex[i] = start;
      plan.rowPosition[i] = start + (this.#afterSource ? sourceLength : 0);
      plan.rowPrefix[i] = this.#prefixMask ? sequence.request.prefix : 0;
      plan.rowSourceLength[i] = sourceLength;
      if (source !== null && source !== before) group++;
      before = source;
      plan.rowGroup[i] = source === null ? -1 : group;
      for (let k = start; k < start + count; k++) plan.tokens[token++] = sequence.token(k);
      for (const pages of sequence.tables) page = this.#writeTable(table++, page, pages);
      if (source === null) continue;
      for (let cross = 0; cross < this.#crossGroups; cross++) {
        page = this.#writeTable(table++, page, source.tables[cross]!);
      }
    }
    plan.rowStart[rows.length] = token;
    plan.rowPageStart[table] = page;
    plan.counts[COUNT.rows] = rows.length;
    plan.counts[COUNT.decodeRows] = decodes;
  }

  /** @returns where the next table begins */
  #writeTable(table: number, start: number, pages: Int32Array): number {
    fits(start + pages.length, this.#plan.rowPages, 'pages of rows');
    this.#plan.rowPageStart[table] = start;
    const { rowPages } = this.#plan;
    // A call of set() costs as much as some dozens of entries.
    if (pages.length > 64) rowPages.set(pages, start);
    else for (let i = 0; i < pages.length; i++) rowPages[start + i] = pages[i]!;
    return start + pages.length;
  }

  #writeCopies(copies: Step['copies']): void {
    const plan = this.#plan;
    fits(copies.length, plan.copyFrom, 'copies');
    for (let i = 0; i < copies.length; i++) {
      plan.copyFrom[i] = copies[i]!.from;
      plan.copyTo[i] = copies[i]!.to;
    }
    plan.counts[COUNT.copies] = copies.length;
  }

  #writeSamples(rows: readonly StepRow[]): void {
    const plan = this.#plan;
    let sample = 0;
    let histories = 0;
    plan.biasStart[0] = 0;
    plan.allowStart[0] = 0;
    plan.historyStart[0] = 0;
    for (let i = 0; i < rows.length; i++) {
      const { sequence, sampled, scored } = rows[i]!;
      if (scored > 0) this.#writeScores(sample, plan.rowStart[i]!, rows[i]!);
      sample += scored;
      if (!sampled) continue;
      const { params } = sequence.request;
      fits(sample + 1, plan.sampleToken, 'samples');
      plan.sampleToken[sample] = plan.rowStart[i + 1]! - 1;
      plan.sampleSlot[sample] = sequence.slot;
      plan.step[sample] = sequence.made;
      plan.forced[sample] = forcedToken(params, sequence.made);
      if (this.#sampled[sample] !== sequence.serial) this.#writeParams(sample, sequence);
      this.#writeAllowed(sample, params.allowedTokens);
      this.#writeBias(sample++, sequence);
      if (sequence.slot >= 0 && !sequence.historySet) this.#writeHistory(histories++, sequence);
    }
    plan.counts[COUNT.samples] = sample;
    plan.counts[COUNT.histories] = histories;
  }

  /** What does not change from step to step. */
  #writeParams(sample: number, sequence: Sequence): void {
    const plan = this.#plan;
    const { params } = sequence.request;
    this.#sampled[sample] = sequence.serial;
    plan.alternatives[sample] = sequence.request.alternatives;
    plan.candidates[sample] = params.beam === null ? 0 : 1;
    plan.temperature[sample] = params.temperature;
    plan.topK[sample] = params.topK;
    plan.topP[sample] = params.topP;
    plan.minP[sample] = params.minP;
    plan.repetition[sample] = params.repetitionPenalty;
    plan.presence[sample] = params.presencePenalty;
    plan.frequency[sample] = params.frequencyPenalty;
    plan.seed[2 * sample] = sequence.seed[0];
    plan.seed[2 * sample + 1] = sequence.seed[1];
  }

  /** Samples whose token is known: of the model's own distribution, without history or bias. */
  #writeScores(sample: number, rowStart: number, { sequence, start, scored }: StepRow): void {
    const plan = this.#plan;
    fits(sample + scored, plan.sampleToken, 'samples');
    for (const { query, target } of scoreQueries(sequence, start, scored)) {
      this.#sampled[sample] = -1;
      plan.sampleToken[sample] = rowStart + query;
      plan.sampleSlot[sample] = -1;
      plan.step[sample] = 0;
      plan.forced[sample] = target;
      plan.alternatives[sample] = sequence.request.params.logprobs;
      plan.candidates[sample] = 0;
      plan.temperature[sample] = 0;
      plan.topK[sample] = 0;
      plan.topP[sample] = 1;
      plan.minP[sample] = 0;
      plan.repetition[sample] = 1;
      plan.presence[sample] = 0;
      plan.frequency[sample] = 0;
      plan.biasStart[sample + 1] = plan.biasStart[sample]!;
      plan.allowStart[sample + 1] = plan.allowStart[sample]!;
      sample++;
    }
  }

  #writeBias(sample: number, sequence: Sequence): void {
    const plan = this.#plan;
    const { params } = sequence.request;
    let at = plan.biasStart[sample]!;
    if (!hasBans(params, sequence.made) && params.logitBias.length === 0) {
      plan.biasStart[sample + 1] = at;
      return;
    }
    for (const [token, bias] of params.logitBias) {
      plan.biasTokens[at] = token;
      plan.biasValues[at++] = bias;
    }
    for (const bans of [bannedTokens(params, sequence.generated, sequence.made), this.#ngrams.of(sequence)]) {
      for (const token of bans) {
        plan.biasTokens[at] = token;
        plan.biasValues[at++] = Number.NEGATIVE_INFINITY;
      }
    }
    fits(at, plan.biasTokens, 'biases');
    plan.biasStart[sample + 1] = at;
  }

  #writeAllowed(sample: number, tokens: readonly number[] | null): void {
    const plan = this.#plan;
    const start = plan.allowStart[sample]!;
    const end = start + (tokens?.length ?? 0);
    fits(end, plan.allowTokens, 'allowed tokens');
    if (tokens !== null) plan.allowTokens.set(tokens, start);
    plan.allowStart[sample + 1] = end;
  }

  /** The slot's counts are set once, before the first sample; from then on native code counts what it samples. */
  #writeHistory(history: number, sequence: Sequence): void {
    const plan = this.#plan;
    const start = plan.historyStart[history]!;
    fits(start + sequence.length, plan.historyTokens, 'history tokens');
    plan.historySlot[history] = sequence.slot;
    plan.historyPrompt[history] = sequence.request.prompt.length;
    for (let k = 0; k < sequence.length; k++) plan.historyTokens[start + k] = sequence.token(k);
    plan.historyStart[history + 1] = start + sequence.length;
    sequence.historySet = true;
  }

  token(sample: number): number {
    return this.#plan.outToken[sample]!;
  }

  logprobs(sample: number, asked: number): TokenLogprobs | undefined {
    if (asked < 0) return undefined;
    const plan = this.#plan;
    const top: [number, number][] = [];
    const first = sample * this.#alternatives;
    for (let k = first; k < first + asked; k++) {
      if (plan.outTopToken[k]! >= 0) top.push([plan.outTopToken[k]!, plan.outTopLogprob[k]!]);
    }
    return { logprob: plan.outLogprob[sample]!, rank: plan.outRank[sample]!, top };
  }
}

/** A typed array drops what is written past its end: better a loud fault here than a silent one in a model. */
function fits(count: number, array: { readonly length: number }, what: string): void {
  if (count > array.length) throw new Error(`plan: ${count} ${what}, but there is room for ${array.length}`);
}
