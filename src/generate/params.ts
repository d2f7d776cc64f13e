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
  /** With the stop tokens and two ways to write each bad word within what the engine plans for a row (engine/limits.ts). */
  biases: 512,
  badWords: 128,
  /** UTF-16 units, or ids, of a bad word. */
  badWordLength: 128,
  allowedTokens: 1024,
  ngram: 1024,
  priority: 10,
  /** UTF-16 units. */
  saltLength: 128,
  /** The kernels divide by these as 32-bit floats: beyond, logits would become infinite or no numbers. */
  temperature: { min: 1e-5, max: 1e6 },
  repetitionPenalty: { min: 0.01, max: 100 },
} as const;

export interface Room {
  /** Decoder tokens before the answer. */
  readonly used: number;
  /** Decoder tokens, those included, for which there is memory at all. */
  readonly fits: number;
}

/**
 * @param badWords as resolveBadWords found them
 * @throws RedllmError `invalid_value` or `context_length_exceeded`, naming the field as it is called over HTTP
 */
export function resolveParams(
  request: GenerateRequest,
  model: ServedModel,
  room: Room,
  badWords: readonly (readonly number[])[] = [],
): SamplingParams {
  const { defaults } = model;
  const vocabulary = model.spec.vocabulary.target;
  const maxTokens = resolveMaxTokens(request, model, room);
  const endTokens = request.ignoreEos ? [] : defaults.endTokens;
  const beam = resolveBeam(request, model, resolveAnswers(request.n));
  const allowedTokens = resolveAllowed(request.allowedTokens, vocabulary);
  const forced = (param: string, asked: number | null | undefined, fallback: number | undefined) =>
    resolveForced(param, asked, fallback, { vocabulary, allowedTokens });
  return {
    maxTokens,
    minTokens: resolveMinTokens(request.minTokens ?? 0, maxTokens),
    ...(beam ? unshaped : shapeOf(request, model)),
    logitBias: resolveBias(request.logitBias, vocabulary),
    seed: resolveSeed(request.seed),
    logprobs: Math.max(resolveLogprobs(request.logprobs), request.promptLogprobs ?? -1),
    stopTokens: [...new Set([...resolveStopTokens(request.stopTokens ?? [], vocabulary), ...endTokens])],
    endTokens,
    forcedFirst: forced('forced_bos_token_id', request.forcedFirst, defaults.forcedFirst),
    forcedLast: forced('forced_eos_token_id', request.forcedLast, defaults.forcedLast),
    noRepeatNgram: integer('no_repeat_ngram_size', request.noRepeatNgram ?? defaults.noRepeatNgram ?? 0, {
      min: 0,
      max: LIMITS.ngram,
    }),
    badWords,
    allowedTokens,
    beam,
  };
}

/** For tokens that are only scored, each with so many alternatives: nothing is chosen, and nothing altered. */
export function scoringParams(logprobs: number): SamplingParams {
  return {
    maxTokens: 0,
    minTokens: 0,
    ...unshaped,
    logitBias: [],
    seed: [0, 0],
    logprobs,
    stopTokens: [],
    endTokens: [],
    forcedFirst: null,
    forcedLast: null,
    noRepeatNgram: 0,
    badWords: [],
    allowedTokens: null,
    beam: null,
  };
}

type Shape = Pick<
  SamplingParams,
  'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty' | 'presencePenalty' | 'frequencyPenalty'
>;

/** The model's own distribution, whatever the checkpoint would sample with: what beams see, and what is scored. */
export const unshaped: Shape = {
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

/** Alternatives with each generated token; -1: no log-probabilities. */
function resolveLogprobs(asked: number | undefined): number {
  return asked === undefined ? -1 : integer('logprobs', asked, { min: 0, max: LIMITS.alternatives });
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

/** @throws RedllmError with param `priority` */
export function resolvePriority(priority: number | undefined): number {
  return integer('priority', priority ?? 0, { min: -LIMITS.priority, max: LIMITS.priority });
}

/** @throws RedllmError with param `cache_salt` */
export function resolveSalt(salt: string | undefined): string | null {
  if (salt === undefined) return null;
  if (typeof salt === 'string' && salt !== '' && salt.length <= LIMITS.saltLength) return salt;
  throw refuse('cache_salt', `cache_salt must have 1 to ${LIMITS.saltLength} characters.`);
}

function resolveTemperature(temperature: number): number {
  const { min, max } = LIMITS.temperature;
  number('temperature', temperature, { min: 0, max });
  if (temperature === 0 || temperature >= min) return temperature;
  throw refuse('temperature', `temperature must be 0 (greedy) or at least ${min.toFixed(5)}, not ${temperature}.`);
}

function resolveMaxTokens(
  { maxTokens: asked, promptLogprobs }: GenerateRequest,
  model: ServedModel,
  { used, fits }: Room,
): number {
  const room = model.maxTarget - used;
  // Memory is taken token by token: an answer that may become long takes none from others before it is.
  if (asked === undefined) return Math.max(1, Math.min(model.defaults.maxNewTokens ?? room, room, fits - used));
  const maxTokens = integer('max_tokens', asked, { min: promptLogprobs === undefined ? 1 : 0 });
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
  for (const [token, value] of bias) {
    tokenIds(`logit_bias.${token}`, [token], vocabulary);
    number(`logit_bias.${token}`, value, { min: -100, max: 100 });
  }
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
  { vocabulary, allowedTokens }: { readonly vocabulary: number; readonly allowedTokens: readonly number[] | null },
): number | null {
  const isAllowed = (token: number) => allowedTokens === null || allowedTokens.includes(token);
  if (asked === undefined) return fallback !== undefined && isAllowed(fallback) ? fallback : null;
  if (asked === null) return null;
  tokenIds(param, [asked], vocabulary);
  if (!isAllowed(asked)) throw refuse(param, `${param} is ${asked}, which allowed_token_ids does not hold.`);
  return asked;
}

function resolveAllowed(tokens: readonly number[] | undefined, vocabulary: number): readonly number[] | null {
  if (tokens === undefined) return null;
  if (tokens.length === 0 || tokens.length > LIMITS.allowedTokens)
    throw refuse('allowed_token_ids', `allowed_token_ids must hold 1 to ${LIMITS.allowedTokens} ids.`);
  return [...new Set(tokenIds('allowed_token_ids', tokens, vocabulary))];
}
