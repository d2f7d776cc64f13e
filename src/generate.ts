/** One request from text to text: tokenise, submit, detokenise, stop. HTTP, WebSocket and CLI all call it. */
import { setImmediate as turn } from 'node:timers/promises';
import { now } from './clock.ts';
import type { SequenceEvent, SubmitMessage } from './engine/protocol.ts';
import { RedllmError } from './errors.ts';
import { Answer } from './generate/answer.ts';
import { resolveBadWords } from './generate/bad-words.ts';
import { BestOf } from './generate/best-of.ts';
import { refuse, tokenIds } from './generate/checks.ts';
import {
  resolveAnswers,
  resolveDeadline,
  resolveParams,
  resolvePriority,
  resolveSalt,
  resolveStops,
  resolveWork,
} from './generate/params.ts';
import { resolvePrompt } from './generate/prompt.ts';
import { PromptScores, resolvePromptLogprobs } from './generate/prompt-scores.ts';
import { checkScoreRequest, resolveCandidates, scoreCandidates } from './generate/score.ts';
import type { GenerateChunk, GenerateRequest, ScoreRequest, ScoreResult, Usage } from './request.ts';
import type { ServedModel } from './served-model.ts';
import { TokenizerPool } from './text/pool.ts';
import type { Tokenizer } from './text/tokenizer.ts';

/** The events of one request: of all n sequences until each has finished. A failure is thrown as a RedllmError. */
export interface EventStream extends AsyncIterable<SequenceEvent> {
  /** Ends one of the sequences; it says so by a last event with finish `cancelled`. */
  cancel(index: number): void;
}

/** What is needed of the engine's handle. Ending the iteration early, or aborting the signal, cancels the request. */
export interface EngineLike {
  submit(request: Omit<SubmitMessage, 'type' | 'id'>, options: { readonly signal?: AbortSignal }): EventStream;
  /** @throws RedllmError `queue_full` where a request for n answers would be refused now, however short */
  checkQueue(model: string, n: number): void;
  /** Decoder tokens (prompt and answer) for which each of n answers could be given memory beside such a source. */
  roomFor(model: string, sourceTokens: number, n: number): number;
}

export interface TokenizeRequest {
  readonly model: string;
  readonly prompt: string;
  /** Default true. */
  readonly addSpecialTokens?: boolean;
  /** Which vocabulary, where a checkpoint has two. Default: the source's. */
  readonly side?: 'source' | 'target';
  /** Give the text of each token, too. Default false. */
  readonly texts?: boolean;
  /** Aborted when the answer is no longer wanted. */
  readonly signal?: AbortSignal;
  /** Milliseconds that it may take. */
  readonly timeout?: number;
}

export interface DetokenizeRequest {
  readonly model: string;
  readonly tokens: readonly number[];
  /** Default false: every token shows. */
  readonly skipSpecialTokens?: boolean;
  /** Which vocabulary, where a checkpoint has two. Default: the target's, as in answers. */
  readonly side?: 'source' | 'target';
}

/** Ids that detokenize takes of any model: decoding is done at once, and more would hold up all streams. */
const DETOKENIZED = 16_384;

/** Tokens whose texts are looked up at once. */
const TEXTS_A_TURN = 8192;

export class Generator {
  readonly #engine: EngineLike;
  readonly #models: ReadonlyMap<string, ServedModel>;
  readonly #pool = new TokenizerPool();

  constructor(engine: EngineLike, models: Iterable<ServedModel>) {
    this.#engine = engine;
    this.#models = new Map([...models].map(model => [model.name, model]));
  }

  models(): readonly ServedModel[] {
    return [...this.#models.values()];
  }

  /** @throws RedllmError `model_not_found` with param `model` */
  model(name: string): ServedModel {
    const model = this.#models.get(name);
    if (model) return model;
    const served = [...this.#models.keys()].join(', ');
    throw new RedllmError('model_not_found', `There is no model "${name}" here; served: ${served}.`, {
      param: 'model',
    });
  }

  /**
   * Chunks of the n answers as they come, interleaved; the usage as the generator's return value. Aborting the signal, or
   * ending the iteration, cancels in the engine.
   * @throws RedllmError for what the request has wrong (before anything is submitted), for what the engine refuses or
   *   fails at, `cancelled` and `deadline_exceeded`
   */
  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<GenerateChunk, Usage> {
    const model = this.model(request.model);
    const deadline = resolveDeadline(request.timeout, now());
    const n = resolveAnswers(request.n);
    const { made, rows } = resolveWork(request, model);
    const promptLogprobs = resolvePromptLogprobs(request, model);
    const stops = resolveStops(request.stop, model);
    this.#engine.checkQueue(model.name, rows);
    const priority = resolvePriority(request.priority);
    const cacheSalt = resolveSalt(request.cacheSalt);
    const { badWords, prompt } = await within(signal, deadline, async whole => ({
      badWords: await resolveBadWords(request, model, whole),
      prompt: await resolvePrompt(request, model, this.#pool, whole),
    }));
    const fits = this.#engine.roomFor(model.name, prompt.source?.length ?? 0, rows);
    const asked = resolveParams(request, model, { used: prompt.tokens.length, fits }, badWords);
    const bestOf = made > n ? new BestOf(made) : null;
    const params = bestOf ? { ...asked, logprobs: Math.max(0, asked.logprobs) } : asked;
    const promptScores =
      promptLogprobs === null ? null : new PromptScores(prompt, model.targetTokenizer, promptLogprobs);
    const scored = promptScores?.scored ?? 0;

    const answers = Array.from(
      { length: made },
      (_, index) =>
        new Answer(index, {
          tokenizer: model.targetTokenizer,
          params,
          stops,
          includeStop: request.includeStop ?? false,
          skipSpecialTokens: request.skipSpecialTokens ?? true,
          context: prompt.context,
          logprobs: Math.max(request.logprobs ?? -1, bestOf ? 0 : -1),
          promptScores,
        }),
    );
    if (params.maxTokens === 0 && scored === 0) {
      // Nothing is left for the engine to do.
      const chunk = answers[0]!.take({ id: 0, index: 0, tokens: [], finish: 'length' })!;
      yield { ...chunk, begin: { promptTokens: prompt.read, cachedTokens: 0, queueTime: 0 } };
      return { promptTokens: prompt.read.length, completionTokens: 0, cachedTokens: 0 };
    }
    const controller = new AbortController();
    const abort = () => controller.abort();
    signal?.addEventListener('abort', abort, { once: true });
    let running = made; // As the engine sees it: a stop string ends an answer here alone.
    let cachedTokens = 0;
    let begin: GenerateChunk['begin'];
    let begun = false;
    try {
      const submitted = {
        model: model.name,
        source: prompt.source && Int32Array.from(prompt.source),
        prompt: Int32Array.from(prompt.tokens),
        n: made,
        params,
        scored,
        priority,
        client: request.client ?? null,
        cacheSalt,
        deadline,
      };
      const events = this.#engine.submit(submitted, { signal: controller.signal });
      for await (const event of events) {
        if (event.finish !== undefined) running--;
        cachedTokens = event.cachedTokens ?? cachedTokens;
        if (event.queueTime !== undefined)
          begin = { promptTokens: prompt.read, cachedTokens, queueTime: event.queueTime };
        const answer = answers[event.index]!;
        if (answer.done) continue;
        if (event.finish === 'cancelled') throw cancelled();
        const chunk = answer.take(event);
        if (answer.done && event.finish === undefined) events.cancel(event.index);
        if (chunk && bestOf) bestOf.add(chunk);
        else if (chunk) yield begun || begin === undefined ? chunk : { ...chunk, begin };
        begun ||= chunk !== null && bestOf === null && begin !== undefined;
        if (answers.every(({ done }) => done)) break;
      }
      if (signal?.aborted && running > 0) throw cancelled();
      if (!answers.every(({ done }) => done))
        throw new Error('The engine ended a request before its answers were done.');
      for (const chunk of bestOf?.best(n, asked.logprobs >= 0) ?? []) {
        yield begun || begin === undefined ? chunk : { ...chunk, begin };
        begun = true;
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      if (running > 0) controller.abort();
    }
    const completionTokens = answers.reduce((sum, answer) => sum + answer.tokens, 0);
    return { promptTokens: prompt.read.length, completionTokens, cachedTokens };
  }

  /**
   * The log-probabilities of candidates, each after the same source or prompt. Aborting the signal cancels in the engine.
   * @param parallel candidates that are in the engine at a time
   * @throws RedllmError as generate(), naming a candidate as `candidates.3`
   */
  async score(request: ScoreRequest, parallel: number, signal?: AbortSignal): Promise<ScoreResult> {
    const model = this.model(request.model);
    checkScoreRequest(request);
    this.#engine.checkQueue(model.name, 1);
    const deadline = resolveDeadline(request.timeout, now());
    const [prompt, candidates] = await within(signal, deadline, async whole => {
      const resolved = await resolvePrompt(request, model, this.#pool, whole);
      return [resolved, await resolveCandidates(request, model, resolved, this.#pool, whole)] as const;
    });
    const submit = (submitted: Omit<SubmitMessage, 'type' | 'id'>, whole: AbortSignal) =>
      this.#engine.submit(submitted, { signal: whole });
    return scoreCandidates(request, model, prompt, candidates, { submit, deadline, parallel, signal });
  }

  /**
   * @throws RedllmError `model_not_found`, `unsupported` with param `prompt` where there is no tokenizer, `queue_full`,
   *   `cancelled`, `deadline_exceeded`
   */
  async tokenize(
    request: TokenizeRequest,
  ): Promise<{ readonly tokens: readonly number[]; readonly texts: readonly string[] | null }> {
    const tokenizer = this.#tokenizer(request.model, request.side ?? 'source', 'prompt');
    const { addSpecialTokens = true } = request;
    return within(request.signal, resolveDeadline(request.timeout, now()), async signal => {
      const tokens = await this.#pool.encode(tokenizer, request.prompt, { addSpecialTokens, signal });
      if (!request.texts) return { tokens, texts: null };
      const texts: string[] = [];
      for (const id of tokens) {
        texts.push(tokenizer.tokenText(id));
        if (texts.length % TEXTS_A_TURN === 0) await turn();
        signal.throwIfAborted();
      }
      return { tokens, texts };
    });
  }

  /** @throws RedllmError `model_not_found`, `unsupported` or `invalid_value` with param `tokens` */
  detokenize(request: DetokenizeRequest): string {
    const side = request.side ?? 'target';
    const tokenizer = this.#tokenizer(request.model, side, 'tokens');
    const { maxSource, maxTarget } = this.model(request.model);
    const most = Math.max(maxSource, maxTarget, DETOKENIZED);
    const { length } = request.tokens;
    if (length > most) throw refuse('tokens', `tokens may hold at most ${most} ids, not ${length}.`);
    tokenIds('tokens', request.tokens, this.model(request.model).spec.vocabulary[side]);
    return tokenizer.decode(request.tokens, { skipSpecialTokens: request.skipSpecialTokens ?? false });
  }

  /** Ends the threads that tokenise; the engine is its owner's to close. */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  #tokenizer(name: string, side: 'source' | 'target', param: string): Tokenizer {
    const model = this.model(name);
    const tokenizer = side === 'source' ? model.tokenizer : model.targetTokenizer;
    if (tokenizer) return tokenizer;
    throw new RedllmError('unsupported', `Model ${name} has no tokenizer.`, { param });
  }
}

function cancelled(): RedllmError {
  return new RedllmError('cancelled', 'The request was cancelled.');
}

/**
 * Work that ends when the request does.
 * @throws RedllmError `cancelled` and `deadline_exceeded`: the reasons with which the signal that the work gets is aborted
 */
async function within<T>(
  signal: AbortSignal | undefined,
  deadline: number | null,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const abort = () => controller.abort(cancelled());
  const late = () =>
    controller.abort(new RedllmError('deadline_exceeded', 'The request took longer than it was given.'));
  // A timer of more than 31 bits would fire at once.
  const timer = deadline === null ? undefined : setTimeout(late, Math.min(deadline - now(), 2 ** 31 - 1));
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  try {
    const result = await work(controller.signal);
    if (signal?.aborted) throw cancelled();
    return result;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}
