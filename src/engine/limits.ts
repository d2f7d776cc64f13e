/** What one model can be asked for: the sizes of its steps, and which requests could never run. */
import { RedllmError } from '../errors.ts';
import type { ModelFootprint, StepLimits } from '../native.ts';
import { beamCandidates } from './beam-search.ts';
import type { PageTables } from './page-tables.ts';
import type { PlanSizes } from './plan.ts';
import type { EngineOptions, ModelToLoad, SubmitMessage } from './protocol.ts';
import { scoresAStep } from './scoring.ts';
import type { SourceCache } from './source-cache.ts';

/** Most alternatives that a request may ask to see with each token. */
const maxAlternatives = 20;
/** Most candidates that a beam may be asked for; beams have as many alternatives reported. */
const maxCandidates = 128;
/** Most entries of logit bias, stop tokens and bad words of a request, together. */
const maxBiasEntries = 1024;
const maxAllowedTokens = 1024;
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

/** @throws RedllmError `invalid_config` where the memory for keys and values holds no request at all */
export function modelLimits(model: ModelToLoad, options: EngineOptions, footprint: ModelFootprint): ModelLimits {
  return {
    batchTokens: options.maxBatchTokens,
    // Every row can then move by at least one token in a step.
    rows: Math.min(options.maxRows, options.maxBatchTokens),
    scores: scoresAStep(model.spec.vocabulary.target),
    ...fittingLengths(model, options.kvMemory, footprint),
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
  const crossGroups = groups.filter(group => group.kind === 'cross').length;
  // A group with a window does not grow with the answer.
  const growing = groups.filter(group => group.kind === 'self' && group.window === 0).length;
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

/** Decoder tokens for which each of n sequences beside a source of so many tokens can have pages; windows are not counted on. */
export function decoderRoom(
  { groups, pageTokens }: ModelFootprint,
  pages: number,
  sourceTokens: number,
  n: number,
): number {
  const crossGroups = groups.filter(group => group.kind === 'cross').length;
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
    crossGroups: footprint.groups.filter(group => group.kind === 'cross').length,
    pageTokens: footprint.pageTokens,
    biasEntries: limits.rows * (maxBiasEntries + ngramBans(limits)),
    allowEntries: limits.rows * maxAllowedTokens,
    historyTokens: historyTokens(limits),
  };
}

/** Most bans of repeated n-grams of one row: none comes twice, and each stands among the row's tokens. */
function ngramBans({ rows, maxTarget, vocabulary }: ModelLimits): number {
  return Math.min(maxTarget, vocabulary.target, Math.floor(maxNgramBans / rows));
}

/**
 * Refuses a request that could never run, however long it waited.
 * @param capacity pages that one request could be given, each of `pageBytes`
 * @throws RedllmError `invalid_value`, `context_length_exceeded`
 */
export function checkRequest(
  message: SubmitMessage,
  limits: ModelLimits,
  memory: { tables: PageTables; sources: SourceCache; capacity: number; pageBytes: number },
): void {
  const { source, prompt, n, params } = message;
  if (limits.encoder !== (source !== null)) {
    throw new RedllmError('invalid_value', `This model ${limits.encoder ? 'needs a' : 'takes no'} source.`, {
      param: 'prompt',
    });
  }
  if (source?.length === 0 || prompt.length === 0) {
    throw new RedllmError('invalid_value', 'The prompt has no tokens.', { param: 'prompt' });
  }
  checkTokens(message, limits);
  if (source !== null && source.length > limits.maxSource) {
    throw new RedllmError(
      'context_length_exceeded',
      `The prompt has ${source.length} tokens, but this model's source takes at most ${limits.maxSource}.`,
      { param: 'prompt' },
    );
  }
  checkScored(message);
  if (prompt.length >= limits.maxTarget + (params.maxTokens === 0 ? 1 : 0)) {
    throw new RedllmError(
      'context_length_exceeded',
      `The ${source ? 'decoder prompt' : 'prompt'} has ${prompt.length} tokens, but this model takes at most ${limits.maxTarget} of prompt and answer together.`,
      { param: source ? 'decoder_prompt' : 'prompt' },
    );
  }
  if (prompt.length + params.maxTokens > limits.maxTarget) {
    throw new RedllmError(
      'context_length_exceeded',
      `max_tokens is ${params.maxTokens} and the ${source ? 'decoder prompt' : 'prompt'} has ${prompt.length} tokens, but this model takes at most ${limits.maxTarget} together.`,
      { param: 'max_tokens' },
    );
  }
  if (!Number.isInteger(params.maxTokens) || params.maxTokens < (message.scored > 0 ? 0 : 1)) {
    throw new RedllmError('invalid_value', 'max_tokens must be a whole number of at least 1.', { param: 'max_tokens' });
  }
  if (!Number.isInteger(n) || n < 1 || n > limits.rows) {
    throw new RedllmError(
      'invalid_value',
      `n is ${n}, but must be between 1 and ${limits.rows}, the rows of a batch.`,
      {
        param: 'n',
      },
    );
  }
  checkBeam(message, limits);
  if (params.logprobs > maxAlternatives) {
    throw new RedllmError('invalid_value', `At most ${maxAlternatives} alternatives are reported with a token.`, {
      param: 'logprobs',
    });
  }
  checkBans(message, limits);
  const pages = pagesOf(message, limits, memory.tables) + (source ? memory.sources.pagesFor(source.length) : 0);
  if (pages > memory.capacity) {
    const [needed, held] = [pages, memory.capacity].map(count => mebibytes(count * memory.pageBytes));
    throw new RedllmError(
      'context_length_exceeded',
      `The request may need ${needed} of memory for keys and values (max_tokens ${params.maxTokens}, n ${n}), but the server has ${held}.`,
      { param: 'max_tokens' },
    );
  }
}

/** The first token of a prompt follows nothing, so it has no score. */
function checkScored({ scored, prompt, n, params }: SubmitMessage): void {
  const refuse = (param: string, message: string) => new RedllmError('invalid_value', message, { param });
  if (!Number.isInteger(scored) || scored < 0 || scored >= prompt.length)
    throw refuse('scored', `scored is ${scored}, but must be less than the ${prompt.length} tokens of the prompt.`);
  if (scored === 0) return;
  if (n !== 1) throw refuse('n', `n is ${n}, but must be 1 where tokens of the prompt are scored.`);
  if (params.beam !== null) throw refuse('use_beam_search', 'Tokens of the prompt are not scored in a beam search.');
  if (!(params.logprobs >= 0)) throw refuse('logprobs', 'logprobs must be at least 0 where tokens are scored.');
}

/** What a row of the plan has no room for would end the engine for everyone. */
function checkBans({ prompt, params }: SubmitMessage, limits: ModelLimits): void {
  if (params.logitBias.length + params.stopTokens.length + params.badWords.length > maxBiasEntries) {
    const message = `logit_bias, stop tokens and bad words together may have at most ${maxBiasEntries} entries.`;
    throw new RedllmError('invalid_value', message, { param: params.badWords.length > 0 ? 'bad_words' : 'logit_bias' });
  }
  if (params.badWords.some(word => word.length === 0)) {
    throw new RedllmError('invalid_value', 'Each of bad_words must have at least one token.', { param: 'bad_words' });
  }
  const allowed = params.allowedTokens?.length ?? 1;
  if (allowed < 1 || allowed > maxAllowedTokens) {
    const message = `allowed_token_ids must have 1 to ${maxAllowedTokens} tokens, not ${allowed}.`;
    throw new RedllmError('invalid_value', message, { param: 'allowed_token_ids' });
  }
  const { noRepeatNgram, maxTokens } = params;
  if (!Number.isInteger(noRepeatNgram) || noRepeatNgram < 0) {
    const message = `no_repeat_ngram_size must be a whole number from 0, not ${noRepeatNgram}.`;
    throw new RedllmError('invalid_value', message, { param: 'no_repeat_ngram_size' });
  }
  const bans = Math.min(prompt.length + maxTokens, limits.vocabulary.target);
  if (noRepeatNgram > 0 && bans > ngramBans(limits)) {
    const message = `With no_repeat_ngram_size prompt and answer together may have at most ${ngramBans(limits)} tokens here, not ${prompt.length + maxTokens}.`;
    throw new RedllmError('invalid_value', message, { param: 'no_repeat_ngram_size' });
  }
}

function checkBeam({ n, params }: SubmitMessage, { rows }: ModelLimits): void {
  if (params.beam === null) return;
  const { width } = params.beam;
  const ends = new Set(params.stopTokens).size;
  const most = Math.min(rows, Math.floor(maxCandidates / beamCandidates(1, ends)));
  if (Number.isInteger(width) && width >= n && width <= most) return;
  const because =
    most === rows ? `${rows} are the rows of a batch` : `with ${ends} end and stop tokens ${most} beams are the most`;
  throw new RedllmError('invalid_value', `best_of is ${width}, but must be between n, ${n}, and ${most}: ${because}.`, {
    param: 'best_of',
  });
}

/** Native code indexes by these: a token that is none would end the engine for everyone. */
function checkTokens({ source, prompt, params }: SubmitMessage, { vocabulary }: ModelLimits): void {
  const check = (param: string, tokens: Iterable<number>, size: number) => {
    for (const token of tokens) {
      if (Number.isInteger(token) && token >= 0 && token < size) continue;
      throw new RedllmError('invalid_value', `${param} holds ${token}, but token ids are 0 to ${size - 1}.`, { param });
    }
  };
  check('prompt', source ?? [], vocabulary.source);
  check(source ? 'decoder_prompt' : 'prompt', prompt, vocabulary.target);
  const biased = params.logitBias.map(([token]) => token);
  check('logit_bias', biased, vocabulary.target);
  check('stop_token_ids', params.stopTokens, vocabulary.target);
  for (const word of params.badWords) check('bad_words', word, vocabulary.target);
  check('allowed_token_ids', params.allowedTokens ?? [], vocabulary.target);
  if (params.forcedFirst !== null) check('forced_bos_token_id', [params.forcedFirst], vocabulary.target);
  if (params.forcedLast !== null) check('forced_eos_token_id', [params.forcedLast], vocabulary.target);
}

/** Worst case of the self pages of all sequences of a request. */
function pagesOf(message: SubmitMessage, limits: ModelLimits, tables: PageTables): number {
  return message.n * sequencePages(message.prompt.length, message.params.maxTokens, limits, tables);
}

/** Worst case of the self pages of one sequence, which may be preempted at any length and computed anew. */
export function sequencePages(prompt: number, maxTokens: number, limits: ModelLimits, tables: PageTables): number {
  const tokens = prompt + maxTokens;
  return tables.worstCase(tokens, limits.wholePrompts ? tokens : Math.min(tokens, limits.batchTokens));
}

function mebibytes(bytes: number): string {
  return bytes < 2 ** 17 ? `${bytes} bytes` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
