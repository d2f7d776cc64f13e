/**
 * Candidates scored after one source or prompt. Each is a request of its own to the engine; they run together, so that the
 * source is encoded once for all that do.
 */
import type { SequenceEvent, SubmitMessage } from '../engine/protocol.ts';
import { RedllmError } from '../errors.ts';
import type { CandidateScore, ScoreRequest, ScoreResult } from '../request.ts';
import type { ServedModel } from '../served-model.ts';
import type { TokenizerPool } from '../text/pool.ts';
import { integer, refuse, tokenIds } from './checks.ts';
import { LIMITS, resolvePriority, resolveSalt, scoringParams } from './params.ts';
import type { ResolvedPrompt } from './prompt.ts';
import { namedLogprob } from './token-names.ts';

export const MOST_CANDIDATES = 128;

/** Tokens, the source's counted for each candidate, that are in the engine's queue at a time: a part of what it holds. */
const TOKENS_AT_ONCE = 1 << 18;

/** @throws RedllmError `invalid_value` */
export function checkScoreRequest({ candidates, logprobs }: ScoreRequest): void {
  if (candidates.length === 0 || candidates.length > MOST_CANDIDATES)
    throw refuse('candidates', `candidates must hold 1 to ${MOST_CANDIDATES} candidates, not ${candidates.length}.`);
  if (logprobs !== undefined) integer('logprobs', logprobs, { min: 0, max: LIMITS.alternatives });
}

/**
 * The tokens of each candidate. An answer's text is what the target's post-processor makes of it; the text of what goes on
 * from a prompt has no special tokens before it.
 * @throws RedllmError naming the candidate, as `candidates.3`, or append_eos
 */
export async function resolveCandidates(
  request: ScoreRequest,
  model: ServedModel,
  { tokens: before }: ResolvedPrompt,
  pool: TokenizerPool,
  signal: AbortSignal,
): Promise<readonly (readonly number[])[]> {
  const { endTokens } = model.defaults;
  if (request.appendEos && endTokens.length === 0)
    throw new RedllmError('unsupported', `Model ${model.name} has no end token to append.`, { param: 'append_eos' });
  const begins = model.spec.encoder !== undefined && request.decoderPrompt === undefined;
  const special = begins && (request.addSpecialTokens ?? true);
  const most = model.maxTarget - before.length;
  const resolved: (readonly number[])[] = [];
  for (const [index, candidate] of request.candidates.entries()) {
    const param = `candidates.${index}`;
    const isText = typeof candidate === 'string';
    const ids = isText
      ? await encode(candidate, param, model, { pool, special, most, signal })
      : tokenIds(param, candidate, model.spec.vocabulary.target);
    const tokens = withEnd(ids, endTokens, request.appendEos ?? isText, isText && special);
    if (tokens.length === 0) throw refuse(param, `${param} is empty: there is no token to score.`);
    if (tokens.length > most) throw tooLong(param, `${tokens.length} tokens`, most);
    resolved.push(tokens);
  }
  return resolved;
}

async function encode(
  text: string,
  param: string,
  model: ServedModel,
  how: { readonly pool: TokenizerPool; readonly special: boolean; readonly most: number; readonly signal: AbortSignal },
): Promise<readonly number[]> {
  const { pool, special: addSpecialTokens, most, signal } = how;
  const { targetTokenizer: tokenizer } = model;
  if (text === '') throw refuse(param, `${param} is empty: there is no token to score.`);
  if (!tokenizer)
    throw new RedllmError('unsupported', `Model ${model.name} has no tokenizer; give ${param} as token ids.`, {
      param,
    });
  if (tokenizer.exceeds(text, most)) throw tooLong(param, `${text.length} characters`, most);
  return pool.encode(tokenizer, text, { addSpecialTokens, signal });
}

/** @param added whether a post-processor may have put an end token there, which is then taken away where none is wanted */
function withEnd(
  ids: readonly number[],
  endTokens: readonly number[],
  wanted: boolean,
  added: boolean,
): readonly number[] {
  const ends = endTokens.includes(ids.at(-1) ?? -1);
  if (wanted) return ends || endTokens.length === 0 ? ids : [...ids, endTokens[0]!];
  return ends && added ? ids.slice(0, -1) : ids;
}

function tooLong(param: string, has: string, most: number): RedllmError {
  return new RedllmError(
    'context_length_exceeded',
    `${param} has ${has}, but this model takes at most ${most} target tokens after this prompt.`,
    { param },
  );
}

/**
 * @param submit hands a request to the engine; aborting the signal given to it cancels it
 * @throws RedllmError of the first candidate that fails; the others are then cancelled
 */
export async function scoreCandidates(
  request: ScoreRequest,
  model: ServedModel,
  prompt: ResolvedPrompt,
  candidates: readonly (readonly number[])[],
  run: {
    readonly submit: (
      submitted: Omit<SubmitMessage, 'type' | 'id'>,
      signal: AbortSignal,
    ) => AsyncIterable<SequenceEvent>;
    readonly deadline: number | null;
    /** Candidates that are in the engine at a time, at most. */
    readonly parallel: number;
    readonly signal: AbortSignal | undefined;
  },
): Promise<ScoreResult> {
  const alternatives = request.logprobs ?? 0;
  const source = prompt.source && Int32Array.from(prompt.source);
  const priority = resolvePriority(request.priority);
  const cacheSalt = resolveSalt(request.cacheSalt);
  const controller = new AbortController();
  const abort = () => controller.abort();
  run.signal?.addEventListener('abort', abort, { once: true });
  if (run.signal?.aborted) abort();
  let cachedTokens = Number.POSITIVE_INFINITY;
  const score = async (tokens: readonly number[]): Promise<CandidateScore> => {
    const submitted = {
      model: model.name,
      source,
      prompt: Int32Array.from([...prompt.tokens, ...tokens]),
      n: 1,
      params: scoringParams(alternatives),
      scored: tokens.length,
      priority,
      client: request.client ?? null,
      cacheSalt,
      deadline: run.deadline,
    };
    const logprobs: CandidateScore['logprobs'][number][] = [];
    for await (const event of run.submit(submitted, controller.signal)) {
      if (event.finish === 'cancelled') throw new RedllmError('cancelled', 'The request was cancelled.');
      if (event.cachedTokens !== undefined) cachedTokens = Math.min(cachedTokens, event.cachedTokens);
      for (const its of event.scores ?? [])
        logprobs.push(namedLogprob(model.targetTokenizer, tokens[logprobs.length]!, its, alternatives));
    }
    if (logprobs.length < tokens.length)
      throw new Error('The engine ended a request before all its tokens were scored.');
    return { logprobs };
  };
  try {
    const scores = new Array<CandidateScore>(candidates.length);
    const left = candidates.entries();
    const worker = async () => {
      for (const [index, tokens] of left) {
        // Another candidate failed, or nobody wants the scores any more, since the last one ended.
        if (controller.signal.aborted) throw new RedllmError('cancelled', 'The request was cancelled.');
        scores[index] = await score(tokens);
      }
    };
    const longest = candidates.reduce((most, { length }) => Math.max(most, length), 0);
    const fits = Math.max(1, Math.floor(TOKENS_AT_ONCE / (prompt.read.length + longest)));
    await Promise.all(Array.from({ length: Math.min(run.parallel, fits) }, worker));
    const scored = candidates.reduce((sum, { length }) => sum + length, 0);
    return { scores, usage: { promptTokens: prompt.read.length + scored, completionTokens: 0, cachedTokens } };
  } finally {
    run.signal?.removeEventListener('abort', abort);
    controller.abort();
  }
}
