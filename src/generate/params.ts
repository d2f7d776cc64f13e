/** A request's sampling fields, checked and resolved against the model's defaults. */
import { randomFillSync } from 'node:crypto';
import type { SamplingParams } from '../engine/protocol.ts';
import { RedllmError } from '../errors.ts';
import type { GenerateRequest } from '../request.ts';
import type { ServedModel } from '../served-model.ts';
import { resolveBeam } from './beams.ts';
import { integer, number, refuse, tokenIds } from './checks.ts';

export const LIMITS = {
  answers: 128,
  alternatives: 20,
  stops: 16,
  /** UTF-16 units of a stop string. */
  stopLength: 1024,
  stopTokens: 128,
  /** With the stop tokens within what the engine plans for a row (engine/limits.ts). */
  biases: 512,
  /** The kernels divide by these as 32-bit floats: beyond, logits would become infinite or no numbers. */
  temperature: { min: 1e-5, max: 1e6 },
  repetitionPenalty: { min: 0.01, max: 100 },
} as const;

/** Least and greatest share of the memory that an answer may take whose length nobody has named. */
const UNNAMED = { tokens: 1024, share: 1 / 8 } as const;

export interface Room {
  /** Decoder tokens before the answer. */
  readonly used: number;
  /** Decoder tokens, those included, for which there is memory at all. */
  readonly fits: number;
}

/**
 * @throws RedllmError `invalid_value` or `context_length_exceeded`, naming the field as it is called over HTTP
 */
export function resolveParams(request: GenerateRequest, model: ServedModel, room: Room): SamplingParams {
  const { defaults } = model;
  const vocabulary = model.spec.vocabulary.target;
  const maxTokens = resolveMaxTokens(request.maxTokens, model, room);
  const endTokens = request.ignoreEos ? [] : defaults.endTokens;
  const beam = resolveBeam(request, model, resolveAnswers(request.n));
  return {
    maxTokens,
    minTokens: resolveMinTokens(request.minTokens ?? 0, maxTokens),
    ...(beam ? unshaped : shapeOf(request, model)),
    logitBias: resolveBias(request.logitBias, vocabulary),
    seed: resolveSeed(request.seed),
    logprobs:
      request.logprobs === undefined ? -1 : integer('logprobs', request.logprobs, { min: 0, max: LIMITS.alternatives }),
    stopTokens: [...new Set([...resolveStopTokens(request.stopTokens ?? [], vocabulary), ...endTokens])],
    endTokens,
    forcedFirst: resolveForced('forced_bos_token_id', request.forcedFirst, defaults.forcedFirst, vocabulary),
    forcedLast: resolveForced('forced_eos_token_id', request.forcedLast, defaults.forcedLast, vocabulary),
    noRepeatNgram: 0,
    badWords: [],
    allowedTokens: null,
    beam,
  };
}

type Shape = Pick<
  SamplingParams,
  'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty' | 'presencePenalty' | 'frequencyPenalty'
>;

/** Beams see the model's own distribution, whatever the checkpoint would sample with. */
const unshaped: Shape = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
};

/** What is made of the model's distribution before a token is drawn. */
function shapeOf(request: GenerateRequest, { defaults, spec }: ServedModel): Shape {
  const topK = integer('top_k', request.topK ?? defaults.topK ?? 0, { min: -1 });
  return {
    // OpenAI's default where neither the request nor the checkpoint says anything.
    temperature: resolveTemperature(request.temperature ?? defaults.temperature ?? 1),
    // -1 is vLLM's "all".
    topK: topK === -1 || topK >= spec.vocabulary.target ? 0 : topK,
    topP: number('top_p', request.topP ?? defaults.topP ?? 1, { above: 0, max: 1 }),
    minP: number('min_p', request.minP ?? defaults.minP ?? 0, { min: 0, max: 1 }),
    repetitionPenalty: number(
      'repetition_penalty',
      request.repetitionPenalty ?? defaults.repetitionPenalty ?? 1,
      LIMITS.repetitionPenalty,
    ),
    presencePenalty: number('presence_penalty', request.presencePenalty ?? 0, { min: -2, max: 2 }),
    frequencyPenalty: number('frequency_penalty', request.frequencyPenalty ?? 0, { min: -2, max: 2 }),
  };
}

/** @throws RedllmError `invalid_value` with param `n` */
export function resolveAnswers(n: number | undefined): number {
  return integer('n', n ?? 1, { min: 1, max: LIMITS.answers });
}

/**
 * How many answers the engine is to make, and rows of its batch they take: more answers than n to choose among, or beams.
 * @throws RedllmError `invalid_value` with param `best_of` or of the beams' fields, `unsupported` for what does not go with beams
 */
export function resolveWork(
  request: GenerateRequest,
  model: ServedModel,
): { readonly made: number; readonly rows: number } {
  const n = resolveAnswers(request.n);
  const beam = resolveBeam(request, model, n);
  if (beam) return { made: n, rows: beam.width };
  const made = integer('best_of', request.bestOf ?? n, { min: n, max: LIMITS.answers });
  return { made, rows: made };
}

/** @throws RedllmError with param `stop` */
export function resolveStops(stops: readonly string[] | undefined, model: ServedModel): readonly string[] {
  if (stops === undefined || stops.length === 0) return [];
  if (!model.targetTokenizer)
    throw new RedllmError('unsupported', `Model ${model.name} has no tokenizer; use stop_token_ids instead of stop.`, {
      param: 'stop',
    });
  if (stops.length > LIMITS.stops) throw refuse('stop', `stop may hold at most ${LIMITS.stops} strings.`);
  for (const stop of stops)
    if (typeof stop !== 'string' || stop === '' || stop.length > LIMITS.stopLength)
      throw refuse('stop', `Each string of stop must have 1 to ${LIMITS.stopLength} characters.`);
  return stops;
}

/** @returns milliseconds since 1970, or null */
export function resolveDeadline(timeout: number | undefined, now: number): number | null {
  return timeout === undefined ? null : now + number('timeout', timeout, { above: 0 });
}

function resolveTemperature(temperature: number): number {
  const { min, max } = LIMITS.temperature;
  number('temperature', temperature, { min: 0, max });
  if (temperature === 0 || temperature >= min) return temperature;
  throw refuse('temperature', `temperature must be 0 (greedy) or at least ${min.toFixed(5)}, not ${temperature}.`);
}

function resolveMaxTokens(asked: number | undefined, model: ServedModel, { used, fits }: Room): number {
  const room = model.maxTarget - used;
  if (asked === undefined) {
    // Memory is promised for the whole answer, so one without a length must not take it all from the others.
    const share = Math.max(UNNAMED.tokens, Math.floor(fits * UNNAMED.share));
    return Math.max(1, Math.min(model.defaults.maxNewTokens ?? share, room, fits - used));
  }
  const maxTokens = integer('max_tokens', asked, { min: 1 });
  if (maxTokens <= room) return maxTokens;
  throw new RedllmError(
    'context_length_exceeded',
    `max_tokens is ${maxTokens}, but this model's context is ${model.maxTarget} decoder tokens, of which ${used} stand before the answer: at most ${room} fit.`,
    { param: 'max_tokens' },
  );
}

function resolveMinTokens(minTokens: number, maxTokens: number): number {
  integer('min_tokens', minTokens, { min: 0 });
  if (minTokens <= maxTokens) return minTokens;
  throw refuse('min_tokens', `min_tokens is ${minTokens}, more than the ${maxTokens} that the answer may have.`);
}

function resolveBias(bias: ReadonlyMap<number, number> | undefined, vocabulary: number): [number, number][] {
  if (bias === undefined) return [];
  if (bias.size > LIMITS.biases) throw refuse('logit_bias', `logit_bias may hold at most ${LIMITS.biases} tokens.`);
  tokenIds('logit_bias', [...bias.keys()], vocabulary);
  for (const [token, value] of bias) number(`logit_bias.${token}`, value, { min: -100, max: 100 });
  return [...bias];
}

function resolveSeed(seed: number | undefined): [number, number] {
  if (seed === undefined) {
    const words = randomFillSync(new Uint32Array(2));
    return [words[0]!, words[1]!];
  }
  const bits = BigInt.asUintN(64, BigInt(integer('seed', seed, {})));
  return [Number(bits & 0xffff_ffffn), Number(bits >> 32n)];
}

function resolveStopTokens(tokens: readonly number[], vocabulary: number): readonly number[] {
  if (tokens.length > LIMITS.stopTokens)
    throw refuse('stop_token_ids', `stop_token_ids may hold at most ${LIMITS.stopTokens} ids.`);
  return tokenIds('stop_token_ids', tokens, vocabulary);
}

function resolveForced(
  param: string,
  asked: number | null | undefined,
  fallback: number | undefined,
  vocabulary: number,
): number | null {
  if (asked === undefined) return fallback ?? null;
  return asked === null ? null : tokenIds(param, [asked], vocabulary)[0]!;
}
