/** One request for text, whichever door it came by: the generators it needs, run together, and what each answer gained. */
import { RedllmError } from '../errors.ts';
import { joinChunks } from '../generate/chunks.ts';
import type { GenerateChunk, GenerateRequest, Usage } from '../request.ts';
import type { GeneratorLike } from './contracts.ts';
import type { Drain, Ticket } from './drain.ts';
import { merge } from './merge.ts';
import type { Metrics } from './metrics.ts';
import type { ServerOptions } from './options.ts';
import { addUsage, noUsage } from './usage.ts';

export interface ServerContext {
  readonly generator: GeneratorLike;
  readonly metrics: Metrics;
  readonly drain: Drain;
  readonly options: ServerOptions;
}

/** A request that was read and checked. Each of the two ways to answer runs it; only one may be used, once. */
export interface Call {
  readonly stream: boolean;
  /** The objects of the stream, in order, the usage chunk included where it was asked for. */
  chunks(ticket: Ticket): AsyncGenerator<object, Usage>;
  /** The answer in one object. */
  whole(ticket: Ticket): Promise<object>;
}

/** One that is only ever answered in one object. */
export interface WholeCall extends Pick<Call, 'whole'> {
  readonly stream: false;
}

/**
 * Reads and checks a body.
 * @param client who asks, as auth.ts names them; null: nobody in particular
 * @throws RedllmError
 */
export type CallReader = (context: ServerContext, body: unknown, client: string | null) => Call;

/** What one choice gained; choices are counted over all prompts: choice = prompt * n + answer. */
export interface Gain {
  readonly choice: number;
  readonly prompt: number;
  readonly chunk: GenerateChunk;
}

/** What of a ServerContext runs requests. */
interface Runner {
  readonly generator: Pick<GeneratorLike, 'generate'>;
  readonly options: Pick<ServerOptions, 'parallelPrompts'>;
}

/** The requests of one call (one a prompt) at work. */
export class Run {
  readonly #context: Runner;
  readonly #requests: readonly GenerateRequest[];
  readonly #ticket: Ticket;
  /** Of all prompts together; complete once gains() has ended. */
  usage: Usage = noUsage;

  constructor(context: Runner, requests: readonly GenerateRequest[], ticket: Ticket) {
    this.#context = context;
    this.#requests = requests;
    this.#ticket = ticket;
  }

  /** To be iterated once. Cancelled by the ticket; where one request fails, the others are cancelled and its error is thrown. */
  async *gains(): AsyncGenerator<Gain, void> {
    const { generator, options } = this.#context;
    const ticket = this.#ticket;
    const n = this.#requests[0]?.n ?? 1;
    const starts = this.#requests.map(request => () => generator.generate(request, ticket.signal));
    const stop = () => ticket.cancel(new RedllmError('cancelled', 'Another prompt of this request failed.'));
    const usages: Usage[] = [];
    for await (const [prompt, chunk] of merge(starts, options.parallelPrompts, stop, usages))
      yield { choice: prompt * n + chunk.index, prompt, chunk };
    this.usage = usages.reduce(addUsage, noUsage);
  }
}

/** Everything that each choice gained, as one chunk. */
export async function collect(run: Run, choices: number): Promise<{ answers: GenerateChunk[]; begun: Begun }> {
  const parts: GenerateChunk[][] = Array.from({ length: choices }, () => []);
  const begun: Begun = new Map();
  for await (const { choice, prompt, chunk } of run.gains()) {
    parts[choice]!.push(chunk);
    if (chunk.begin) begun.set(prompt, chunk.begin);
  }
  return { answers: parts.map(joinChunks), begun };
}

/** What is known of each prompt once it began. */
export type Begun = Map<number, NonNullable<GenerateChunk['begin']>>;

/** Counts tokens while they come, for streams that report usage with every chunk. */
export class RunningUsage {
  #usage = noUsage;

  add({ begin, tokens }: GenerateChunk): Usage {
    this.#usage = addUsage(this.#usage, {
      promptTokens: begin?.promptTokens.length ?? 0,
      completionTokens: tokens.length,
      cachedTokens: begin?.cachedTokens ?? 0,
    });
    return this.#usage;
  }
}

/** Tokens whose text is still held back make no event of a stream, unless they themselves were asked for. */
export function isNews(chunk: GenerateChunk, withIds: boolean): boolean {
  return (
    chunk.text !== '' ||
    chunk.finish !== undefined ||
    (withIds && chunk.tokens.length > 0) ||
    (chunk.logprobs?.length ?? 0) > 0 ||
    (chunk.promptLogprobs?.length ?? 0) > 0
  );
}
