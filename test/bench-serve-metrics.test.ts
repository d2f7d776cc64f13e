/** What follows from answers: latencies, goodput, tokens, and vLLM's statistics of them. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Answer, Reader } from '../bench/serve/answer.ts';
import type { Load } from '../bench/serve/load.ts';
import { measure, meets, readObjectives } from '../bench/serve/metrics.ts';
import { percentile, vllmFields } from '../bench/serve/vllm.ts';

const text = (said: string, finish: string | null = null) => ({
  choices: [{ index: 0, text: said, finish_reason: finish }],
});

/** An answer sent at 1,000: tokens at these times, with that usage. */
function answered(times: readonly number[], completion_tokens?: number): Answer {
  const reader = new Reader(1000, 1);
  for (const [i, time] of times.entries()) reader.chunk(text(' a', i === times.length - 1 ? 'stop' : null), time);
  if (completion_tokens !== undefined) reader.usage({ completion_tokens, prompt_tokens: 7 });
  return reader.answer();
}

function failed(): Answer {
  const reader = new Reader(1000, 1);
  reader.chunk(text(' a'), 1010);
  reader.fail('refused', 'full', 3);
  return reader.answer();
}

const loadOf = (answers: readonly Answer[]): Load => ({
  sent: answers.map(answer => ({ answer, late: 0, queued: 0 })),
  start: 1000,
  duration: 2000,
  thread: { p50: 0, p99: 0, max: 0 },
});
const prompts = (count: number) =>
  Array.from({ length: count }, () => ({ prompt: 'a', inputLength: 5, outputLength: 4 }));
const measured = (answers: readonly Answer[], goodput = '', n = 1) =>
  measure(loadOf(answers), prompts(answers.length), n, readObjectives(goodput));

it('takes times from the sending, and time per token from those after the first', () => {
  const { requests } = measured([answered([1100, 1150, 1300], 5)]);
  assert.deepEqual(requests[0]!.latencies, { ttft: 100, e2el: 300, tpot: 50 });
  assert.deepEqual(requests[0]!.answer.gaps, [50, 150]);
});

it('counts tokens by usage, else by chunks, and says which', () => {
  assert.equal(measured([answered([1100, 1200], 9)]).counted, 'usage');
  assert.equal(measured([answered([1100, 1200])]).counted, 'chunks');
  const both = measured([answered([1100, 1200], 9), answered([1100, 1200])]);
  assert.equal(both.counted, 'usage and chunks');
  assert.deepEqual([both.totalOutput, both.totalInput], [11, 12]);
});

it('takes the tokens of one of several answers', () => {
  assert.equal(measured([answered([1100, 1300], 6)], '', 2).requests[0]!.latencies!.tpot, 100);
});

it('sees no token in a role, nor in a last chunk that only ends, and one in a text that is empty', () => {
  const reader = new Reader(1000, 1);
  reader.chunk({ choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] }, 1010);
  reader.chunk({ choices: [{ index: 0, delta: { content: 'a' }, finish_reason: null }] }, 1100);
  reader.chunk({ choices: [{ index: 0, delta: { content: '' }, finish_reason: null }] }, 1200);
  reader.chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }, 1250);
  const { first, last, gaps, chunks } = reader.answer();
  assert.deepEqual({ first, last, gaps, chunks }, { first: 1100, last: 1250, gaps: [100], chunks: 2 });
});

it('takes an end token for an answer, and a good end without any chunk for none', () => {
  const ended = new Reader(1000, 1);
  ended.chunk(text('', 'stop'), 1100);
  assert.equal(ended.answer().failure, null);
  assert.equal(measured([ended.answer()]).requests[0]!.latencies!.ttft, 100);
  assert.equal(new Reader(1000, 1).answer().failure?.kind, 'empty');
});

it('counts as good what meets every objective, and no failure', () => {
  // Times to first token 100 and 400; per token 50 and 100.
  const answers = [answered([1100, 1150, 1300], 5), answered([1400, 1600], 3), failed()];
  const good = (objectives: string) => measured(answers, objectives).good;
  assert.equal(good(''), null);
  assert.equal(good('ttft:500'), 2);
  assert.equal(good('ttft:100'), 1);
  assert.equal(good('ttft:500 tpot:99'), 1);
  assert.equal(good('ttft:99,tpot:99'), 0);
  assert.equal(good('e2el:600'), 2);
  assert.ok(meets({ ttft: 1, tpot: null, e2el: 1 }, { tpot: 0 }), 'an answer of one token');
  assert.throws(() => readObjectives('ttft:500 itl:3'), /--goodput takes/);
});

it('never counts a failed request as done, though tokens came', () => {
  const { completed, failed: lost, totalOutput, errors, retryAfter } = measured([failed(), answered([1100], 1)]);
  assert.deepEqual({ completed, lost, totalOutput }, { completed: 1, lost: 1, totalOutput: 1 });
  assert.deepEqual(errors, { refused: 1 });
  assert.deepEqual(retryAfter, [3]);
});

it('has percentiles between values, as numpy does', () => {
  assert.equal(percentile([4, 1, 3, 2], 50), 2.5);
  assert.equal(percentile([1, 2, 3, 4, 5], 99), 4.96);
  assert.equal(percentile([], 99), 0);
  assert.equal(percentile([7], 99), 7);
});

it('writes the fields of vLLM in its units', () => {
  const metrics = measured([answered([1100, 1150, 1300], 5), failed()], 'ttft:500');
  const asked = { backend: 'openai', model: 'm', label: null, cap: 4, percentiles: [99, 99.9] };
  const fields = vllmFields(metrics, { ...asked, rate: Number.POSITIVE_INFINITY, burstiness: 1 }, new Date());
  assert.equal(fields.duration, 2);
  assert.equal(fields.request_rate, 'inf');
  assert.equal(fields.max_concurrency, 4);
  assert.equal(fields.request_throughput, 0.5);
  assert.equal(fields.request_goodput, 0.5);
  assert.equal(fields.output_throughput, 2.5);
  assert.equal(fields.total_token_throughput, 6);
  assert.deepEqual(fields.ttfts, [0.1, 0]);
  assert.deepEqual(fields.itls, [[0.05, 0.15], []]);
  assert.deepEqual(fields.output_lens, [5, 0]);
  assert.deepEqual(fields.errors, ['', 'full']);
  assert.deepEqual([fields.mean_itl_ms, fields.std_itl_ms, fields.median_itl_ms], [100, 50, 100]);
  assert.deepEqual([fields.p99_ttft_ms, fields['p99.9_ttft_ms']], [100, 100]);
  assert.equal(fields.max_concurrent_requests, 1);
  assert.match(String(fields.date), /^\d{8}-\d{6}$/);
});
