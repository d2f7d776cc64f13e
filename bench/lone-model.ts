/**
 * A model driven through the addon alone, one request at a time, without scheduler, shared pages or batching: the way to what the
 * engine does not give out (logits, encoder states, where attention looks), and what its results are held against.
 */
import { type DeviceOptions, openRuntime } from '../src/device.ts';
import { COUNT, createPlan, type Plan } from '../src/engine/plan.ts';
import type { ModelDescription } from '../src/models/registry.ts';
import type { ComputeType } from '../src/models/spec.ts';
import { loadAddon, type ModelFootprint, type NativeModel, type NativeRuntime } from '../src/native.ts';

export interface LoneSizes {
  /** Greatest number of source tokens, and of decoder tokens. */
  readonly source: number;
  readonly target: number;
  /** Decoder tokens of a step. Default: all that there may be. */
  readonly step?: number;
}

/** Decoder tokens of one step. */
export interface LoneRow {
  readonly tokens: readonly number[];
  /** Decoder tokens before them, of earlier steps. */
  readonly index: number;
  readonly sourceLength: number;
  /** Tokens from the first that see each other, where the model's mask has such. */
  readonly prefix: number;
  /** Tokens that were sampled before. */
  readonly step: number;
}

/** Alternatives that every step reports. */
export const reported = 5;

export class LoneModel {
  readonly description: ModelDescription;
  readonly native: NativeModel;
  readonly plan: Plan;
  /** As the runtime names it. */
  readonly device: string;
  readonly #runtime: NativeRuntime;
  readonly #footprint: ModelFootprint;
  /** Of each table. */
  readonly #pages: number;

  constructor(description: ModelDescription, compute: ComputeType, where: DeviceOptions, sizes: LoneSizes) {
    const { spec, weights } = description;
    this.description = description;
    this.#runtime = openRuntime(loadAddon(), where).runtime;
    this.device = this.#runtime.device;
    const limits = {
      tokens: sizes.step ?? sizes.target,
      rows: 1,
      sourceTokens: sizes.source,
      sources: 1,
      samples: 1,
      alternatives: reported,
      maxSource: Math.min(sizes.source, spec.maxSource ?? sizes.source),
      maxTarget: Math.min(sizes.target, spec.maxTarget ?? sizes.target),
    };
    this.#footprint = this.#runtime.footprint(spec, compute);
    const { groups, pageTokens } = this.#footprint;
    this.native = this.#runtime.load(spec, compute, weights, limits);
    const load = () => this.native.loadSome(1 << 20);
    for (let progress = load(); progress.done < progress.total; ) progress = load();
    this.#pages = Math.ceil(Math.max(sizes.source, sizes.target) / pageTokens);
    this.native.reservePages(this.#pages * groups.length);
    // Tables have room for `sizes` here, however short a model's greatest lengths are.
    this.plan = createPlan(
      { ...limits, maxSource: sizes.source, maxTarget: sizes.target },
      {
        groups: groups.length,
        crossGroups: groups.filter(group => group.kind === 'cross').length,
        pageTokens,
        biasEntries: 16,
        allowEntries: 16,
        historyTokens: sizes.target,
      },
    );
    this.native.bind(this.plan);
  }

  free(): void {
    this.native.free();
    this.#runtime.free();
  }

  /** Runs the step that was planned. */
  run(): void {
    this.native.launch();
    this.native.collect();
  }

  /** Runs decoder tokens that are given, whatever might follow them, as a prompt is run. */
  runRow(row: LoneRow): void {
    this.planRow(row);
    this.plan.counts[COUNT.decodeRows] = 0;
    this.plan.counts[COUNT.samples] = 0;
    this.run();
  }

  /** Encodes a source into its cross pages. @param layersPerStep layers that a step runs */
  encode(source: readonly number[], layersPerStep: number = Number.POSITIVE_INFINITY): void {
    const layers = this.description.spec.encoder!.layers.length;
    this.plan.counts.fill(0);
    for (let layer = 0; layer < layers; layer += layersPerStep) {
      this.#planSource(source, layer, Math.min(layers, layer + layersPerStep));
      this.run();
    }
    this.plan.counts[COUNT.sources] = 0;
  }

  #planSource(source: readonly number[], firstLayer: number, lastLayer: number): void {
    const { plan } = this;
    const { groups, pageTokens } = this.#footprint;
    const crossGroups = groups.filter(group => group.kind === 'cross').length;
    plan.counts[COUNT.sources] = 1;
    plan.sourceTokens.set(source);
    plan.sourceStart.set([0, source.length]);
    plan.sourceState[0] = 0;
    plan.sourceFirstLayer[0] = firstLayer;
    plan.sourceLastLayer[0] = lastLayer;
    plan.sourcePageStart[crossGroups] = crossGroups * this.#pages;
    const selfGroups = groups.length - crossGroups;
    for (let group = 0; group < crossGroups; group++) {
      plan.sourcePageStart[group] = group * this.#pages;
      for (let page = 0; page * pageTokens < source.length; page++)
        plan.sourcePages[group * this.#pages + page] = (selfGroups + group) * this.#pages + page;
    }
  }

  /** A row and one greedy sample of its last token. */
  planRow({ tokens, index, sourceLength, prefix, step }: LoneRow): void {
    const { plan } = this;
    const { groups } = this.#footprint;
    plan.counts[COUNT.rows] = 1;
    plan.counts[COUNT.samples] = 1;
    plan.tokens.set(tokens);
    plan.rowStart.set([0, tokens.length]);
    plan.rowIndex[0] = index;
    plan.rowPosition[0] = index + (this.description.spec.decoderPositions === 'after-source' ? sourceLength : 0);
    plan.rowPrefix[0] = prefix;
    plan.rowSourceLength[0] = sourceLength;
    plan.rowGroup[0] = -1;
    for (let group = 0; group <= groups.length; group++) plan.rowPageStart[group] = group * this.#pages;
    for (let page = 0; page < groups.length * this.#pages; page++) plan.rowPages[page] = page;
    plan.sampleToken[0] = tokens.length - 1;
    plan.sampleSlot[0] = -1;
    plan.temperature[0] = 0;
    plan.topK[0] = 0;
    plan.topP[0] = 1;
    plan.minP[0] = 0;
    plan.repetition[0] = 1;
    plan.step[0] = step;
    plan.forced[0] = -1;
    plan.alternatives[0] = reported;
    plan.candidates[0] = 0;
    plan.biasStart.set([0, 0]);
    plan.allowStart.set([0, 0]);
  }
}
