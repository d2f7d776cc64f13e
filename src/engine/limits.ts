/** What one model can be asked for, and the sizes of its steps that follow from it. */
import { RedllmError } from '../errors.ts';
import type { ModelFootprint, StepLimits } from '../native.ts';
import type { PageTables } from './page-tables.ts';
import type { PlanSizes } from './plan.ts';
import type { EngineOptions, ModelToLoad } from './protocol.ts';
import { scoresAStep } from './scoring.ts';

/** Most alternatives that a request may ask to see with each token. */
export const maxAlternatives = 20;
/** Most candidates that a beam may be asked for; beams have as many alternatives reported. */
export const maxCandidates = 128;
/** Most entries of logit bias, stop tokens and bad words of a request, together. */
export const maxBiasEntries = 1024;
export const maxAllowedTokens = 1024;
/** Most bans of repeated n-grams over all rows of a step: memory that is committed only where a step has so many. */
const maxNgramBans = 2 ** 26;
/** Most pages of a pool: native code counts them in 32 bits. */
export const maxPages = 2 ** 31 - 1;

/** The scheduler's own view of a model. */
export interface ModelLimits {
  /** Tokens of a step, source and decoder together. */
  readonly batchTokens: number;
  readonly rows: number;
  /** Score samples of a step, beside one ordinary sample a row. */
  readonly scores: number;
  readonly maxSource: number;
  readonly maxTarget: number;
  /** A prompt cannot be cut: its tokens see each other. */
  readonly wholePrompts: boolean;
  readonly encoder: boolean;
  readonly pageTokens: number;
  /** Number of tokens of the source's and of the decoder's vocabulary. */
  readonly vocabulary: { readonly source: number; readonly target: number };
}

/**
 * @param kvMemory bytes that there are at most for keys and values
 * @throws RedllmError `invalid_config` where they hold no request at all
 */
export function modelLimits(
  model: ModelToLoad,
  options: EngineOptions,
  footprint: ModelFootprint,
  kvMemory: number,
): ModelLimits {
  return {
    batchTokens: options.maxBatchTokens,
    // Every row can then move by at least one token in a step.
    rows: Math.min(options.maxRows, options.maxBatchTokens),
    scores: scoresAStep(model.spec.vocabulary.target),
    ...fittingLengths(model, kvMemory, footprint),
    wholePrompts: model.spec.mask === 'prefix',
    encoder: model.spec.encoder !== undefined,
    pageTokens: footprint.pageTokens,
    vocabulary: model.spec.vocabulary,
  };
}

/**
 * The model's greatest lengths, or less where the memory for keys and values would not hold so much beside one page of the
 * other side. Which lengths fit together is checkRequest's to say.
 */
function fittingLengths(
  model: ModelToLoad,
  kvMemory: number,
  { groups, pageTokens, pageBytes }: ModelFootprint,
): { readonly maxSource: number; readonly maxTarget: number } {
  const { crossGroups, growing } = countGroups(groups);
  const capacity = Math.min(Math.floor(kvMemory / pageBytes), maxPages);
  if (capacity < groups.length) {
    throw new RedllmError(
      'invalid_config',
      `kv-memory of ${mebibytes(kvMemory)} holds no request of model '${model.name}', which takes ${mebibytes(groups.length * pageBytes)} at least.`,
      { param: 'kv-memory' },
    );
  }
  const fits = (mine: number) =>
    mine === 0 ? Number.POSITIVE_INFINITY : Math.floor((capacity - groups.length + mine) / mine) * pageTokens;
  return {
    maxSource: crossGroups > 0 ? Math.min(model.maxSource, fits(crossGroups)) : 0,
    maxTarget: Math.min(model.maxTarget, fits(growing)),
  };
}

/** Groups that grow with the source, and those that grow with the answer: one with a window does not. */
function countGroups(groups: ModelFootprint['groups']): { readonly crossGroups: number; readonly growing: number } {
  return {
    crossGroups: groups.filter(group => group.kind === 'cross').length,
    growing: groups.filter(group => group.kind === 'self' && group.window === 0).length,
  };
}

/** Pages that the longest source, or the longest row of decoder tokens, takes beside one page of each other kind. */
export function longestRequest({ maxSource, maxTarget }: ModelLimits, { groups, pageTokens }: ModelFootprint): number {
  const { crossGroups, growing } = countGroups(groups);
  const take = (mine: number, tokens: number) => mine * Math.ceil(tokens / pageTokens) + groups.length - mine;
  return Math.max(take(crossGroups, maxSource), take(growing, maxTarget));
}

/** Decoder tokens for which each of n sequences beside a source of so many tokens can have pages; windows are not counted on. */
export function decoderRoom(
  { groups, pageTokens }: ModelFootprint,
  pages: number,
  sourceTokens: number,
  n: number,
): number {
  const { crossGroups } = countGroups(groups);
  const left = pages - crossGroups * Math.ceil(sourceTokens / pageTokens);
  return Math.max(0, Math.floor(left / (n * (groups.length - crossGroups)))) * pageTokens;
}

/** The greatest steps that the scheduler may plan under these limits. */
export function stepLimits(limits: ModelLimits): StepLimits {
  const { batchTokens, rows, maxSource, maxTarget } = limits;
  return {
    tokens: limits.wholePrompts ? Math.max(batchTokens, rows + maxTarget) : batchTokens,
    rows,
    // One source that was begun, and those of a step that fit it.
    sourceTokens: limits.encoder ? maxSource + batchTokens : 0,
    sources: limits.encoder ? rows : 0,
    samples: rows + limits.scores,
    alternatives: maxCandidates,
    maxSource,
    maxTarget,
  };
}

/** Greatest number of tokens of the histories that a step sets: of one request in any case, and of others with it. */
export function historyTokens({ batchTokens, maxTarget }: ModelLimits): number {
  return batchTokens + 2 * maxTarget;
}

export function planSizes(limits: ModelLimits, footprint: ModelFootprint): PlanSizes {
  return {
    groups: footprint.groups.length,
    crossGroups: countGroups(footprint.groups).crossGroups,
    pageTokens: footprint.pageTokens,
    biasEntries: limits.rows * (maxBiasEntries + ngramBans(limits)),
    allowEntries: limits.rows * maxAllowedTokens,
    historyTokens: historyTokens(limits),
  };
}

/** Most bans of repeated n-grams of one row: none comes twice, and each stands among the row's tokens. */
export function ngramBans({ rows, maxTarget, vocabulary }: ModelLimits): number {
  return Math.min(maxTarget, vocabulary.target, Math.floor(maxNgramBans / rows));
}

/** Worst case of the self pages of one sequence, which may be preempted at any length and computed anew. */
export function sequencePages(prompt: number, maxTokens: number, limits: ModelLimits, tables: PageTables): number {
  const tokens = prompt + maxTokens;
  return tables.worstCase(tokens, limits.wholePrompts ? tokens : Math.min(tokens, limits.batchTokens));
}

export function mebibytes(bytes: number): string {
  return bytes < 2 ** 17 ? `${bytes} bytes` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
