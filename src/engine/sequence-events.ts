/** What the samples of a step are to a request: tokens, scores, an end; each as the event that its owner gets. */
import type { SequenceEvent, TokenLogprobs } from './protocol.ts';
import type { Request, Sequence } from './sequence.ts';

/** What one sample gave; in the order of the plan's samples: row by row, the scores before the new token. */
export interface SampleResult {
  readonly token: number;
  readonly logprobs?: TokenLogprobs;
}

/** The sequence goes on by a token; where the event has a finish, it ends with it. @param now milliseconds, as clock.ts has them */
export function tokenEvent(sequence: Sequence, { token, logprobs }: SampleResult, now: () => number): SequenceEvent {
  const { request } = sequence;
  const { params, stopTokens } = request;
  sequence.generated.push(token);
  const full = sequence.generated.length >= params.maxTokens;
  // An end token that was forced because the answer is full is no stop: the answer was cut.
  const stopped = stopTokens.has(token) && !(full && params.forcedLast !== null);
  const gained = {
    id: request.id,
    index: sequence.index,
    tokens: [token],
    ...(logprobs && { logprobs: [logprobs] }),
  };
  if (!stopped && !full && request.reported) return gained;
  return {
    ...gained,
    ...((stopped || full) && { finish: stopped ? 'stop' : 'length' }),
    ...(stopped && !params.endTokens.includes(token) && { stopToken: token }),
    ...firstEvent(request, now),
  };
}

/** The next scores of a request; where nothing is to be generated, it ends with the last of them. */
export function scoreEvent(sequence: Sequence, results: readonly SampleResult[], now: () => number): SequenceEvent {
  const { request } = sequence;
  sequence.scoresReported += results.length;
  const done = request.params.maxTokens === 0 && sequence.scoresReported === request.scored;
  return {
    id: request.id,
    index: sequence.index,
    tokens: [],
    scores: results.map(({ logprobs }) => logprobs!),
    ...(done && { finish: 'length' }),
    ...firstEvent(request, now),
  };
}

export function cancelledEvent({ request, index }: Sequence, now: () => number): SequenceEvent {
  return { id: request.id, index, tokens: [], finish: 'cancelled', ...firstEvent(request, now) };
}

/** What the first event of a request says besides. */
function firstEvent(request: Request, now: () => number): { cachedTokens?: number; queueTime?: number } {
  if (request.reported) return {};
  request.reported = true;
  const started = request.started ?? now();
  return { cachedTokens: request.cachedTokens, queueTime: Math.max(0, started - request.arrival) / 1000 };
}
