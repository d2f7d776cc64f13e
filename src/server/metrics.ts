/** GET /metrics: what this server measures, under vLLM's names where it has one, so that routers and dashboards know them. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ModelStats } from '../engine/protocol.ts';

const firstToken = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
];
const betweenTokens = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const wholeRequest = [
  0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];
const tokenCounts = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000];

/** Why an answer ended: as the client sees it, or cut short by the client, or by a fault. */
export type Outcome = 'stop' | 'length' | 'abort' | 'error';

type Read = (stats: ModelStats) => number;

/** Gauges and totals that the engine keeps; read at each scrape. */
const gauges: readonly (readonly [name: string, help: string, read: Read])[] = [
  ['vllm:num_requests_running', 'Requests in the running batch.', stats => stats.running],
  ['vllm:num_requests_waiting', 'Requests waiting for the running batch.', stats => stats.waiting],
  [
    'vllm:kv_cache_usage_perc',
    'Share of K/V pages that requests hold, 0 to 1; what a cache alone holds is free for them.',
    ({ pages: { total, self, cross, cachedSelf, cachedCross } }) =>
      (self + cross - cachedSelf - cachedCross) / Math.max(total, 1),
  ],
  [
    'redllm:kv_self_usage_perc',
    'Share of K/V pages that hold decoder keys and values, 0 to 1.',
    ({ pages }) => pages.self / Math.max(pages.total, 1),
  ],
  [
    'redllm:kv_cross_usage_perc',
    'Share of K/V pages that hold keys and values of sources, 0 to 1.',
    ({ pages }) => pages.cross / Math.max(pages.total, 1),
  ],
  [
    'redllm:kv_cached_self_usage_perc',
    'Share of K/V pages with decoder keys and values that only the cache holds, 0 to 1.',
    ({ pages }) => pages.cachedSelf / Math.max(pages.total, 1),
  ],
  [
    'redllm:kv_cached_cross_usage_perc',
    'Share of K/V pages with keys and values of sources that only the cache holds, 0 to 1.',
    ({ pages }) => pages.cachedCross / Math.max(pages.total, 1),
  ],
  ['redllm:encoder_queue', 'Sources of admitted requests that are still to be encoded.', stats => stats.encoderQueue],
];

const totals: readonly (readonly [name: string, help: string, read: Read])[] = [
  ['vllm:prompt_tokens_total', 'Prompt tokens processed (sources and decoder prompts).', stats => stats.promptTokens],
  ['vllm:generation_tokens_total', 'Tokens generated.', stats => stats.generatedTokens],
  ['vllm:num_preemptions_total', 'Requests taken back out of the running batch.', stats => stats.preemptions],
  ['vllm:prefix_cache_queries_total', 'Tokens looked up in the prefix cache.', stats => stats.prefixQueries],
  ['vllm:prefix_cache_hits_total', 'Of those, tokens that it had.', stats => stats.prefixHits],
  ['redllm:encoder_tokens_total', 'Source tokens run through the encoder.', stats => stats.sourceTokens],
  ['redllm:encoder_sources_total', 'Sources run through the encoder.', stats => stats.sourcesEncoded],
  ['redllm:encoder_cache_queries_total', 'Sources that requests asked for.', stats => stats.sourceQueries],
  ['redllm:encoder_cache_hits_total', 'Of those, sources that were already encoded.', stats => stats.sourceHits],
  ['redllm:encoder_steps_total', 'Steps that ran encoder layers.', stats => stats.encodeSteps],
  [
    'redllm:encoder_batch_sources_total',
    'Sources in those steps, all together: over their number, the mean batch.',
    stats => stats.encodeRuns,
  ],
  ['redllm:encoder_time_seconds_total', 'Seconds of the steps that encoded a source.', stats => stats.encodeStepTime],
  ['redllm:step_time_seconds_total', 'Seconds of all steps.', stats => stats.stepTime],
  ['redllm:steps_total', 'Steps of the engine.', stats => stats.steps],
];

export class Metrics {
  readonly registry = new Registry();
  readonly #gauges: readonly (readonly [Gauge, Read])[];
  readonly #totals: readonly (readonly [Counter, Read])[];
  readonly success: Counter;
  readonly timeToFirstToken: Histogram;
  readonly interTokenLatency: Histogram;
  readonly latency: Histogram;
  readonly queueTime: Histogram;
  readonly promptTokens: Histogram;
  readonly generationTokens: Histogram;

  constructor() {
    const registers = [this.registry];
    const labelNames = ['model_name'];
    collectDefaultMetrics({ register: this.registry });
    this.#gauges = gauges.map(([name, help, read]) => [new Gauge({ name, help, labelNames, registers }), read]);
    this.#totals = totals.map(([name, help, read]) => [new Counter({ name, help, labelNames, registers }), read]);
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, labelNames, registers });
    this.success = new Counter({
      name: 'vllm:request_success_total',
      help: 'Answers ended, by why.',
      labelNames: ['model_name', 'finished_reason'],
      registers,
    });
    this.timeToFirstToken = histogram(
      'vllm:time_to_first_token_seconds',
      'From arrival to the first token.',
      firstToken,
    );
    this.interTokenLatency = histogram(
      'vllm:inter_token_latency_seconds',
      'Between tokens of one answer.',
      betweenTokens,
    );
    this.latency = histogram('vllm:e2e_request_latency_seconds', 'From arrival to the end.', wholeRequest);
    this.queueTime = histogram('vllm:request_queue_time_seconds', 'In the queue, before the first step.', wholeRequest);
    this.promptTokens = histogram('vllm:request_prompt_tokens', 'Prompt tokens of a request.', tokenCounts);
    this.generationTokens = histogram('vllm:request_generation_tokens', 'Tokens generated for a request.', tokenCounts);
  }

  /** Takes over what the engine says; its totals only grow, so that counters stay counters. */
  update(stats: readonly ModelStats[]): void {
    for (const [gauge, read] of this.#gauges)
      for (const model of stats) gauge.set({ model_name: model.model }, read(model));
    for (const [counter, read] of this.#totals) {
      counter.reset();
      for (const model of stats) counter.inc({ model_name: model.model }, read(model));
    }
  }
}
