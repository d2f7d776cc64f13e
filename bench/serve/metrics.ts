/** What follows from the answers of one run: latencies as `vllm bench serve` defines them, throughput, goodput, errors. */
import type { Answer } from './answer.ts';
import type { Load } from './load.ts';
import type { Prompt } from './mix.ts';

/** Milliseconds, of an answer that was complete. */
export interface Latencies {
  readonly ttft: number;
  /** Null for an answer of one token, which has no time between tokens. */
  readonly tpot: number | null;
  readonly e2el: number;
}

export type Objectives = Readonly<Partial<Record<keyof Latencies, number>>>;

/** A request as it counts: lengths are the server's where it says them. */
export interface Counted {
  readonly answer: Answer;
  readonly late: number;
  readonly queued: number;
  readonly inputLength: number;
  /** 0 for one that failed. */
  readonly outputLength: number;
  /** Null for one that failed. */
  readonly latencies: Latencies | null;
}

export interface Metrics {
  readonly requests: readonly Counted[];
  readonly completed: number;
  /** All that are not complete, whatever went wrong: those that were told to come back later count, too. */
  readonly failed: number;
  /** Seconds. */
  readonly duration: number;
  readonly totalInput: number;
  readonly totalOutput: number;
  readonly cached: number;
  /** Complete ones within all objectives; null where there are none. */
  readonly good: number | null;
  /** How the tokens of the complete answers were counted. */
  readonly counted: 'usage' | 'chunks' | 'usage and chunks';
  /** Failures by kind. */
  readonly errors: Readonly<Record<string, number>>;
  /** Seconds that those who were refused were told to wait, where it was said. */
  readonly retryAfter: readonly number[];
}

/** Tokens of one answer; of several to one request, the mean. */
function latenciesOf({ sent, first, last }: Answer, tokens: number, choices: number): Latencies {
  const ttft = first! - sent;
  const e2el = Math.max(first!, last!) - sent;
  const between = tokens / choices - 1;
  return { ttft, e2el, tpot: between > 0 ? (e2el - ttft) / between : null };
}

/** @param choices answers to each request */
export function measure(
  load: Load,
  prompts: readonly Prompt[],
  choices: number,
  objectives: Objectives | null,
): Metrics {
  const requests = load.sent.map(({ answer, late, queued }, index): Counted => {
    const inputLength = answer.inputTokens ?? prompts[index]!.inputLength;
    if (answer.failure !== null) return { answer, late, queued, inputLength, outputLength: 0, latencies: null };
    const outputLength = answer.outputTokens ?? Math.max(1, answer.chunks);
    const latencies = latenciesOf(answer, outputLength, choices);
    return { answer, late, queued, inputLength, outputLength, latencies };
  });
  const done = requests.filter(({ latencies }) => latencies !== null);
  const failures = requests.flatMap(({ answer }) => answer.failure ?? []);
  const told = done.filter(({ answer }) => answer.outputTokens !== null).length;
  const errors: Record<string, number> = {};
  for (const { kind } of failures) errors[kind] = (errors[kind] ?? 0) + 1;
  const sum = (of: (request: Counted) => number) => done.reduce((total, request) => total + of(request), 0);
  return {
    requests,
    completed: done.length,
    failed: requests.length - done.length,
    duration: load.duration / 1000,
    totalInput: sum(({ inputLength }) => inputLength),
    totalOutput: sum(({ outputLength }) => outputLength),
    cached: sum(({ answer }) => answer.cachedTokens ?? 0),
    good: objectives && done.filter(({ latencies }) => meets(latencies!, objectives)).length,
    counted: told === done.length ? 'usage' : told === 0 ? 'chunks' : 'usage and chunks',
    errors,
    retryAfter: failures.flatMap(({ retryAfter }) => retryAfter ?? []),
  };
}

/** As vLLM has it, an answer of one token has met any time between tokens. */
export function meets(latencies: Latencies, objectives: Objectives): boolean {
  return Object.entries(objectives).every(([name, most]) => (latencies[name as keyof Latencies] ?? 0) <= most);
}

/** `ttft:500 tpot:50 e2el:2000`, in milliseconds, with spaces or commas. @throws Error that names the flag */
export function readObjectives(said: string): Objectives | null {
  const parts = said.split(/[\s,]+/).filter(part => part !== '');
  if (parts.length === 0) return null;
  return Object.fromEntries(
    parts.map(part => {
      const [, name, most] = /^(ttft|tpot|e2el):(\d*\.?\d+)$/.exec(part) ?? [];
      if (name === undefined) throw new Error(`--goodput takes ttft:MS, tpot:MS and e2el:MS, not '${part}'.`);
      return [name, Number(most)];
    }),
  );
}

/** The values of all complete requests, in milliseconds. */
export function valuesOf({ requests }: Metrics): Record<'ttft' | 'tpot' | 'itl' | 'e2el', number[]> {
  const done = requests.filter(({ latencies }) => latencies !== null);
  return {
    ttft: done.map(({ latencies }) => latencies!.ttft),
    tpot: done.flatMap(({ latencies }) => latencies!.tpot ?? []),
    itl: done.flatMap(({ answer }) => answer.gaps),
    e2el: done.map(({ latencies }) => latencies!.e2el),
  };
}
