/** Load on a server: so many clients that each wait for their answer, or requests that come when they come. */
import type { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Draw } from '../statistics.ts';
import { type Answer, complete } from './client.ts';
import type { Asked } from './server.ts';

/** One request and its answer; times are milliseconds since the load began. */
export interface Sent {
  readonly sent: number;
  readonly ended: number;
  readonly answer: Answer;
}

export class Load {
  readonly #asked: Asked;
  readonly #agent: Agent;
  readonly #draw: Draw;
  readonly #sourceTokens: number;
  readonly #maxTokens: number;

  /** @param request.sourceTokens of each prompt, for models that take token ids; maxTokens is the mean of the answers */
  constructor(
    asked: Asked,
    agent: Agent,
    request: { readonly sourceTokens: number; readonly maxTokens: number; readonly seed: number },
  ) {
    this.#asked = asked;
    this.#agent = agent;
    this.#draw = new Draw(request.seed);
    this.#sourceTokens = request.sourceTokens;
    this.#maxTokens = request.maxTokens;
  }

  /** So many requests at any time, for so many seconds; those at work then are waited for. */
  async closed(concurrency: number, seconds: number): Promise<Sent[]> {
    const start = performance.now();
    const all: Sent[] = [];
    const client = async () => {
      while (performance.now() - start < seconds * 1000) all.push(await this.#send(start));
    };
    await Promise.all(Array.from({ length: concurrency }, client));
    return all;
  }

  /** Requests at random times (Poisson), `rate` a second whatever becomes of them; resolves with the last answer. */
  async open(rate: number, seconds: number): Promise<Sent[]> {
    const start = performance.now();
    const answers: Promise<Sent>[] = [];
    let due = this.#draw.exponential(rate);
    while (due < seconds) {
      const wait = due * 1000 - (performance.now() - start);
      // Those that are due already go at once: a client that is late does not slow the arrivals down.
      if (wait > 0.5) await sleep(wait);
      answers.push(this.#send(start));
      due += this.#draw.exponential(rate);
    }
    return Promise.all(answers);
  }

  async #send(start: number): Promise<Sent> {
    const { model, text, url } = this.#asked;
    const sent = performance.now() - start;
    const answer = await complete(this.#agent, url, {
      model,
      prompt: text ? this.#draw.word() : [...this.#draw.tokens(this.#sourceTokens, 1000)],
      // Of different lengths, so that clients do not go in step.
      max_tokens: this.#draw.whole(Math.ceil(this.#maxTokens / 2), Math.ceil(1.5 * this.#maxTokens) + 1),
      // As much work as was drawn, whatever the weights say.
      ignore_eos: true,
      temperature: 0,
    });
    return { sent, ended: performance.now() - start, answer };
  }
}

/**
 * Requests and tokens a second between two times, of those that were completed. A request counts by the share of its time that lies
 * between: batches that begin and end together would otherwise fall in or out as a whole.
 */
export function throughput(all: readonly Sent[], from: number, to: number): { requests: number; tokens: number } {
  const seconds = (to - from) / 1000;
  let requests = 0;
  let tokens = 0;
  for (const { sent, ended, answer } of all) {
    if (answer.status !== 200) continue;
    const share = Math.max(0, Math.min(ended, to) - Math.max(sent, from)) / (ended - sent);
    requests += share;
    tokens += share * answer.tokens;
  }
  return { requests: requests / seconds, tokens: tokens / seconds };
}
