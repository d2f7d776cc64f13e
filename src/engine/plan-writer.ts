/** Turns a StepPlan into the flat arrays of plan.ts, and their results back into what each sampled row gained. */

import type { ModelSpec } from '../models/spec.ts';
import type { ModelFootprint } from '../native.ts';
import { COUNT, type Plan } from './plan.ts';
import { bannedTokens, forcedToken } from './sampling.ts';
import type { SampleResult, StepPlan, StepRow } from './scheduler.ts';
import type { Sequence } from './sequence.ts';
import type { Source } from './sources.ts';

export class PlanWriter {
  readonly #plan: Plan;
  readonly #crossGroups: number;
  readonly #encoderLayers: number;
  readonly #afterSource: boolean;
  readonly #prefixMask: boolean;
  readonly #alternatives: number;
  /** Numbers of the sources that this step's rows read. */
  readonly #groups = new Map<Source, number>();

  /** @param alternatives limits.alternatives of the plan */
  constructor(plan: Plan, spec: ModelSpec, footprint: ModelFootprint, alternatives: number) {
    this.#plan = plan;
    this.#crossGroups = footprint.groups.filter(group => group.kind === 'cross').length;
    this.#encoderLayers = spec.encoder?.layers.length ?? 0;
    this.#afterSource = spec.decoderPositions === 'after-source';
    this.#prefixMask = spec.mask === 'prefix';
    this.#alternatives = alternatives;
  }

  write(step: StepPlan): void {
    this.#writeSources(step.sources);
    this.#writeRows(step.rows);
    this.#writeCopies(step.copies);
    this.#writeSamples(step.rows);
  }

  #writeSources(sources: readonly Source[]): void {
    const plan = this.#plan;
    let token = 0;
    let page = 0;
    let table = 0;
    fits(sources.length, plan.sourceState, 'sources');
    for (let i = 0; i < sources.length; i++) {
      const { tokens, tables } = sources[i]!;
      fits(token + tokens.length, plan.sourceTokens, 'source tokens');
      plan.sourceStart[i] = token;
      plan.sourceState[i] = token;
      // All layers at once; a plan may also give a range, to bound the gap between two tokens of other requests.
      plan.sourceFirstLayer[i] = 0;
      plan.sourceLastLayer[i] = this.#encoderLayers;
      plan.sourceTokens.set(tokens, token);
      token += tokens.length;
      for (const pages of tables) {
        plan.sourcePageStart[table++] = page;
        fits(page + pages.length, plan.sourcePages, 'pages of sources');
        plan.sourcePages.set(pages, page);
        page += pages.length;
      }
    }
    plan.sourceStart[sources.length] = token;
    plan.sourcePageStart[table] = page;
    plan.counts[COUNT.sources] = sources.length;
  }

  #writeRows(rows: readonly StepRow[]): void {
    const plan = this.#plan;
    let token = 0;
    let page = 0;
    let table = 0;
    this.#groups.clear();
    fits(rows.length, plan.rowIndex, 'rows');
    for (let i = 0; i < rows.length; i++) {
      const { sequence, start, count } = rows[i]!;
      const { source, prompt } = sequence.request;
      const sourceLength = source?.tokens.length ?? 0;
      fits(token + count, plan.tokens, 'tokens');
      plan.rowStart[i] = token;
      plan.rowIndex[i] = start;
      plan.rowPosition[i] = start + (this.#afterSource ? sourceLength : 0);
      plan.rowPrefix[i] = this.#prefixMask ? prompt.length : 0;
      plan.rowSourceLength[i] = sourceLength;
      plan.rowGroup[i] = source === null ? -1 : this.#groupOf(source);
      for (let k = start; k < start + count; k++) plan.tokens[token++] = sequence.token(k);
      for (const pages of sequence.tables) page = this.#writeTable(table++, page, pages);
      if (source === null) continue;
      for (let group = 0; group < this.#crossGroups; group++) {
        page = this.#writeTable(table++, page, source.tables[group]!);
      }
    }
    plan.rowStart[rows.length] = token;
    plan.rowPageStart[table] = page;
    plan.counts[COUNT.rows] = rows.length;
  }

  /** @returns where the next table begins */
  #writeTable(table: number, start: number, pages: Int32Array): number {
    fits(start + pages.length, this.#plan.rowPages, 'pages of rows');
    this.#plan.rowPageStart[table] = start;
    this.#plan.rowPages.set(pages, start);
    return start + pages.length;
  }

  #groupOf(source: Source): number {
    let group = this.#groups.get(source);
    if (group === undefined) {
      group = this.#groups.size;
      this.#groups.set(source, group);
    }
    return group;
  }

  #writeCopies(copies: StepPlan['copies']): void {
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
    plan.historyStart[0] = 0;
    for (let i = 0; i < rows.length; i++) {
      const { sequence, sampled } = rows[i]!;
      if (!sampled) continue;
      const { params } = sequence.request;
      const generated = sequence.generated.length;
      fits(sample + 1, plan.sampleToken, 'samples');
      plan.sampleToken[sample] = plan.rowStart[i + 1]! - 1;
      plan.sampleSlot[sample] = sequence.slot;
      plan.step[sample] = generated;
      plan.forced[sample] = forcedToken(params, generated);
      plan.alternatives[sample] = params.logprobs;
      plan.candidates[sample] = 0;
      plan.temperature[sample] = params.temperature;
      plan.topK[sample] = params.topK;
      plan.topP[sample] = params.topP;
      plan.minP[sample] = params.minP;
      plan.repetition[sample] = params.repetitionPenalty;
      plan.presence[sample] = params.presencePenalty;
      plan.frequency[sample] = params.frequencyPenalty;
      plan.seed[2 * sample] = sequence.seed[0];
      plan.seed[2 * sample + 1] = sequence.seed[1];
      this.#writeBias(sample++, sequence);
      if (sequence.slot >= 0 && !sequence.historySet) this.#writeHistory(histories++, sequence);
    }
    plan.counts[COUNT.samples] = sample;
    plan.counts[COUNT.histories] = histories;
  }

  #writeBias(sample: number, sequence: Sequence): void {
    const plan = this.#plan;
    const { params } = sequence.request;
    let at = plan.biasStart[sample]!;
    for (const [token, bias] of params.logitBias) {
      plan.biasTokens[at] = token;
      plan.biasValues[at++] = bias;
    }
    for (const token of bannedTokens(params, sequence.generated.length)) {
      plan.biasTokens[at] = token;
      plan.biasValues[at++] = Number.NEGATIVE_INFINITY;
    }
    fits(at, plan.biasTokens, 'biases');
    plan.biasStart[sample + 1] = at;
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

  /** What the last step sampled, in the order of the plan's sampled rows. */
  read(): SampleResult[] {
    const plan = this.#plan;
    const results = new Array<SampleResult>(plan.counts[COUNT.samples]!);
    for (let i = 0; i < results.length; i++) {
      const token = plan.outToken[i]!;
      const asked = plan.alternatives[i]!;
      if (asked < 0) {
        results[i] = { token };
        continue;
      }
      const top: [number, number][] = [];
      for (let k = i * this.#alternatives; k < i * this.#alternatives + asked; k++) {
        if (plan.outTopToken[k]! >= 0) top.push([plan.outTopToken[k]!, plan.outTopLogprob[k]!]);
      }
      results[i] = { token, logprobs: { logprob: plan.outLogprob[i]!, rank: plan.outRank[i]!, top } };
    }
    return results;
  }
}

/** A typed array drops what is written past its end: better a loud fault here than a silent one in a model. */
function fits(count: number, array: { readonly length: number }, what: string): void {
  if (count > array.length) throw new Error(`plan: ${count} ${what}, but there is room for ${array.length}`);
}
