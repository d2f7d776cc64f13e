/** What the samples of a step are to a request: tokens, scores, an end; each as the event that its owner gets. */
import type { SequenceEvent, TokenLogprobs } from './protocol.ts';
import type { Request, Sequence } from './sequence.ts';

/** What the samples of a step gave, in the order of the plan: row by row, the scores before the new token. */
export interface SampleResults {
  token(sample: number): number;
  /** With so many alternatives. undefined: less than none were asked for. */
  logprobs(sample: number, asked: number): TokenLogprobs | undefined;
}

/** The sequence goes on by a token; where the event has a finish, it ends with it. @param now milliseconds, as clock.ts has them */
export function tokenEvent(
  sequence: Sequence,
  results: SampleResults,
  sample: number,
  now: () => number,
): SequenceEvent {
  const { request } = sequence;
  const token = results.token(sample);
  const logprobs = results.logprobs(sample, request.alternatives);
  const { params, stopTokens } = request;
  sequence.generated.push(token);
  const full = sequence.generated.length >= params.maxTokens;
  // An end token that was forced because the answer is full is no stop: the answer was cut.
  const stopped = stopTokens.has(token) && !(full && params.forcedLast !== null);
  const { id } = request;
  const { index } = sequence;
  // Most events of a step are so, and there is one a row.
  if (!stopped && !full && request.reported && logprobs === undefined) return { id, index, tokens: [token] };
  return {
    id,
    index,
    tokens: [token],
    ...(logprobs && { logprobs: [logprobs] }),
    ...((stopped || full) && { finish: stopped ? 'stop' : 'length' }),
    ...(stopped && !params.endTokens.includes(token) && { stopToken: token }),
    ...firstEvent(request, now),
  };
}

/** The next scores of a request; where nothing is to be generated, it ends with the last of them. */
export function scoreEvent(
  sequence: Sequence,
  results: SampleResults,
  samples: { readonly first: number; readonly count: number },
  now: () => number,
): SequenceEvent {
  const { request } = sequence;
  const { first, count } = samples;
  sequence.scoresReported += count;
  const done = request.params.maxTokens === 0 && sequence.scoresReported === request.scored;
  return {
    id: request.id,
    index: sequence.index,
    tokens: [],
    scores: Array.from({ length: count }, (_, i) => results.logprobs(first + i, request.params.logprobs)!),
    ...(done && { finish: 'length' }),
    ...firstEvent(request, now),
  };
}

/** @param index which of the answers */
export function cancelledEvent(request: Request, index: number, now: () => number): SequenceEvent {
  return { id: request.id, index, tokens: [], finish: 'cancelled', ...firstEvent(request, now) };
}

/** What the first event of a request says besides. */
export function firstEvent(request: Request, now: () => number): { cachedTokens?: number; queueTime?: number } {
  if (request.reported) return {};
  request.reported = true;
  const started = request.started ?? now();
  return { cachedTokens: request.cachedTokens, queueTime: Math.max(0, started - request.arrival) / 1000 };
}
