/** A generator that is timed: every door goes through it, so that HTTP and WebSocket are measured alike. */
import { asRedllmError } from '../errors.ts';
import type { GenerateChunk, GenerateRequest, ScoreRequest, ScoreResult, Usage } from '../request.ts';
import type { GeneratorLike } from './contracts.ts';
import type { Metrics, Outcome } from './metrics.ts';

const abandoned: readonly string[] = ['cancelled', 'slow_reader', 'draining'];

export function metered(generator: GeneratorLike, metrics: Metrics): GeneratorLike {
  return {
    model: name => generator.model(name),
    models: () => generator.models(),
    tokenize: request => generator.tokenize(request),
    detokenize: request => generator.detokenize(request),
    score: (request, parallel, signal) =>
      measureScore(request, metrics, signal, () => generator.score(request, parallel, signal)),
    generate: (request, signal) => measure(generator, metrics, request, signal),
  };
}

/** Only requests that were served count: one that is refused never ran. */
async function measureScore(
  { model, candidates }: ScoreRequest,
  metrics: Metrics,
  signal: AbortSignal | undefined,
  score: () => Promise<ScoreResult>,
): Promise<ScoreResult> {
  const labels = { model_name: model };
  const arrival = performance.now();
  const result = await score().catch(thrown => {
    // The one who cancelled says why.
    throw signal?.aborted ? asRedllmError(signal.reason) : thrown;
  });
  metrics.latency.observe(labels, (performance.now() - arrival) / 1000);
  metrics.promptTokens.observe(labels, result.usage.promptTokens);
  metrics.success.inc({ ...labels, finished_reason: 'length' }, candidates.length);
  return result;
}

async function* measure(
  generator: GeneratorLike,
  metrics: Metrics,
  request: GenerateRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<GenerateChunk, Usage> {
  const labels = { model_name: request.model };
  const arrival = performance.now();
  const seconds = (since: number) => (performance.now() - since) / 1000;
  /** When each answer gained its last token. */
  const last = new Map<number, number>();
  let open = request.n ?? 1;
  let ran = false;
  let cut: Outcome = 'abort';
  const ended = (outcome: Outcome, count = 1) => metrics.success.inc({ ...labels, finished_reason: outcome }, count);

  const chunks = generator.generate(request, signal);
  try {
    let step = await chunks.next();
    if (!step.done) metrics.timeToFirstToken.observe(labels, seconds(arrival));
    for (; !step.done; step = await chunks.next()) {
      const { index, tokens, begin, finish } = step.value;
      ran = true;
      if (begin) metrics.queueTime.observe(labels, begin.queueTime);
      const before = last.get(index);
      if (tokens.length > 0) {
        // Tokens that came together share the time that they took.
        if (before !== undefined)
          for (const _ of tokens) metrics.interTokenLatency.observe(labels, seconds(before) / tokens.length);
        last.set(index, performance.now());
      }
      if (finish) {
        open--;
        ended(finish.reason);
      }
      yield step.value;
    }
    metrics.latency.observe(labels, seconds(arrival));
    metrics.promptTokens.observe(labels, step.value.promptTokens);
    metrics.generationTokens.observe(labels, step.value.completionTokens);
    return step.value;
  } catch (thrown) {
    // The one who cancelled says why.
    const error = signal?.aborted ? asRedllmError(signal.reason) : asRedllmError(thrown);
    if (!abandoned.includes(error.code)) cut = 'error';
    // A request that was refused, or cancelled before its first step (as its siblings are, where one is refused), never ran.
    if (!ran && error.code !== 'deadline_exceeded') open = 0;
    if (error.status >= 400 && error.status < 499) open = 0;
    throw signal?.aborted ? error : thrown;
  } finally {
    if (open > 0) ended(cut, open);
    await chunks.return(undefined as never);
  }
}
