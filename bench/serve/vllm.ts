/** A run with the names, units and arithmetic of `vllm bench serve --save-result --save-detailed`, so that its tools read it. */
import { mean } from '../statistics.ts';
import { type Counted, type Metrics, valuesOf } from './metrics.ts';

/** What was asked for. */
export interface Asked {
  readonly backend: string;
  readonly model: string;
  readonly label: string | null;
  readonly rate: number;
  readonly burstiness: number;
  readonly cap: number;
  readonly percentiles: readonly number[];
}

/** Linear between the two values next to it, as numpy has it; 0 where there are none, as vLLM has it. @param p 0 to 100 */
export function percentile(values: readonly number[], p: number): number {
  const sorted = Float64Array.from(values).sort();
  const at = ((sorted.length - 1) * p) / 100;
  const below = sorted[Math.floor(at)] ?? 0;
  return below + ((sorted[Math.ceil(at)] ?? below) - below) * (at - Math.floor(at));
}

/** 0 where there are none, as vLLM has it. */
function meanOrZero(values: readonly number[]): number {
  return values.length === 0 ? 0 : mean(values);
}

/** Of the values themselves, not of what they are a sample of. */
function deviation(values: readonly number[]): number {
  const middle = meanOrZero(values);
  return Math.sqrt(meanOrZero(values.map(value => (value - middle) ** 2)));
}

export function vllmFields(metrics: Metrics, asked: Asked, started: Date): Record<string, unknown> {
  const { requests, duration, completed, failed, totalInput, totalOutput, good } = metrics;
  const seconds = (milliseconds: number) => Math.round(milliseconds * 1000) / 1e6;
  const each = <T>(of: (request: Counted) => T) => requests.map(of);
  return {
    date: dateOf(started),
    endpoint_type: asked.backend,
    backend: asked.backend,
    label: asked.label,
    model_id: asked.model,
    tokenizer_id: null,
    num_prompts: requests.length,
    request_rate: finite(asked.rate),
    burstiness: finite(asked.burstiness),
    max_concurrency: asked.cap === Number.POSITIVE_INFINITY ? null : asked.cap,
    duration,
    completed,
    failed,
    total_input_tokens: totalInput,
    total_output_tokens: totalOutput,
    request_throughput: completed / duration,
    request_goodput: good === null ? null : good / duration,
    output_throughput: totalOutput / duration,
    total_token_throughput: (totalInput + totalOutput) / duration,
    input_lens: each(({ inputLength }) => inputLength),
    output_lens: each(({ outputLength }) => outputLength),
    ttfts: each(({ latencies }) => seconds(latencies?.ttft ?? 0)),
    itls: each(({ latencies, answer }) => (latencies === null ? [] : answer.gaps.map(seconds))),
    latencies: each(({ latencies }) => seconds(latencies?.e2el ?? 0)),
    start_times: each(({ answer }) => seconds(answer.sent)),
    queue_times: each(({ queued }) => seconds(queued)),
    // Answers are counted, not kept.
    generated_texts: each(() => ''),
    errors: each(({ answer }) => answer.failure?.message ?? ''),
    ...peaks(requests),
    ...statistics(metrics, asked.percentiles),
  };
}

function statistics(metrics: Metrics, percentiles: readonly number[]): Record<string, number> {
  const fields: [string, number][] = [];
  for (const [name, values] of Object.entries(valuesOf(metrics))) {
    fields.push([`mean_${name}_ms`, meanOrZero(values)]);
    fields.push([`median_${name}_ms`, percentile(values, 50)]);
    fields.push([`std_${name}_ms`, deviation(values)]);
    for (const p of percentiles) fields.push([`p${p}_${name}_ms`, percentile(values, p)]);
  }
  return Object.fromEntries(fields);
}

/** The second in which most chunks came, and the most requests under way at once. */
function peaks(requests: readonly Counted[]) {
  const done = requests.filter(({ latencies }) => latencies !== null);
  const start = done.reduce((least, { answer }) => Math.min(least, answer.sent), Number.POSITIVE_INFINITY);
  const bySecond = new Map<number, number>();
  const steps: [at: number, by: number][] = [];
  for (const { answer, latencies } of done) {
    steps.push([answer.sent, 1], [answer.sent + latencies!.e2el, -1]);
    let at = answer.first!;
    for (const gap of [0, ...answer.gaps]) {
      at += gap;
      const second = Math.floor((at - start) / 1000);
      bySecond.set(second, (bySecond.get(second) ?? 0) + 1);
    }
  }
  let running = 0;
  let most = 0;
  // Whoever ends makes place for whoever begins at the same time.
  for (const [, by] of steps.sort(([a, x], [b, y]) => a - b || x - y)) {
    running += by;
    most = Math.max(most, running);
  }
  const max_output_tokens_per_s = [...bySecond.values()].reduce((a, b) => Math.max(a, b), 0);
  return { max_output_tokens_per_s, max_concurrent_requests: most };
}

/** JSON has no infinity; `request_rate` is written so by vLLM. */
const finite = (value: number) => (value === Number.POSITIVE_INFINITY ? 'inf' : value);

/** `20261125-143600`, by the machine's clock. */
function dateOf(date: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}`;
  return `${day}-${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}
