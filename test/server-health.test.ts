import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RedllmError } from '../src/errors.ts';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';

let server: FakeServer;
before(async () => {
  server = await fakeServer();
});
after(() => server.close());

test('a living server is healthy and ready, and says its version', async () => {
  assert.deepEqual((await server.fastify.inject('/health')).json(), { status: 'ok' });
  assert.equal((await server.fastify.inject('/ready')).statusCode, 200);
  assert.match((await server.fastify.inject('/version')).json().version, /^\d+\.\d+\.\d+/);
});

test('/metrics speaks Prometheus, with vLLM’s names and our own for the encoder', async () => {
  const payload = { model: 'echo', prompt: 'hello', max_tokens: 3 };
  assert.equal((await server.fastify.inject({ method: 'POST', url: '/v1/completions', payload })).statusCode, 200);
  const response = await server.fastify.inject('/metrics');
  assert.match(String(response.headers['content-type']), /^text\/plain/);
  for (const line of [
    'vllm:num_requests_running{model_name="echo"} 2',
    'vllm:num_requests_waiting{model_name="echo"} 3',
    'vllm:kv_cache_usage_perc{model_name="echo"} 0.18',
    'vllm:num_preemptions_total{model_name="echo"} 2',
    'vllm:prefix_cache_queries_total{model_name="echo"} 40',
    'vllm:prefix_cache_hits_total{model_name="echo"} 16',
    'redllm:kv_self_usage_perc{model_name="echo"} 0.1',
    'redllm:kv_cached_self_usage_perc{model_name="echo"} 0.03',
    'redllm:kv_cached_cross_usage_perc{model_name="echo"} 0.04',
    'redllm:encoder_queue{model_name="echo"} 1',
    'vllm:prompt_tokens_total{model_name="echo"} 70',
    'vllm:generation_tokens_total{model_name="echo"} 50',
    'vllm:request_success_total{model_name="echo",finished_reason="length"} 1',
    'vllm:time_to_first_token_seconds_count{model_name="echo"} 1',
    'vllm:inter_token_latency_seconds_count{model_name="echo"} 2',
    'vllm:e2e_request_latency_seconds_count{model_name="echo"} 1',
    'vllm:request_queue_time_seconds_sum{model_name="echo"} 0.25',
    'vllm:request_prompt_tokens_sum{model_name="echo"} 5',
    'redllm:encoder_tokens_total{model_name="echo"} 60',
    'redllm:encoder_sources_total{model_name="echo"} 6',
    'redllm:encoder_cache_queries_total{model_name="echo"} 10',
    'redllm:encoder_cache_hits_total{model_name="echo"} 4',
    'redllm:encoder_steps_total{model_name="echo"} 3',
    'redllm:encoder_batch_sources_total{model_name="echo"} 6',
    'redllm:encoder_time_seconds_total{model_name="echo"} 0.5',
    'redllm:kv_cross_usage_perc{model_name="echo"} 0.15',
  ])
    assert.ok(response.body.split('\n').includes(line), `${line} is missing of\n${response.body}`);
});

test('totals stay totals from scrape to scrape', async () => {
  await server.fastify.inject('/metrics');
  assert.match((await server.fastify.inject('/metrics')).body, /^vllm:prompt_tokens_total\{model_name="echo"\} 70$/m);
});

test('a refused request is no answer that ended', async () => {
  const payload = { model: 'echo', prompt: [9999] };
  assert.equal((await server.fastify.inject({ method: 'POST', url: '/v1/completions', payload })).statusCode, 400);
  assert.ok(!(await server.fastify.inject('/metrics')).body.includes('finished_reason="error"'));
});

test('a full queue is 429 with Retry-After', async () => {
  server.generator.failAfter = 0;
  server.generator.failure = new RedllmError('queue_full', 'Too many requests are waiting.', { retryAfter: 2.5 });
  const payload = { model: 'echo', prompt: 'a' };
  const response = await server.fastify.inject({ method: 'POST', url: '/v1/completions', payload });
  server.generator.failAfter = Number.POSITIVE_INFINITY;
  assert.deepEqual([response.statusCode, response.headers['retry-after']], [429, '3']);
  assert.equal(response.json().error.code, 'queue_full');
});

test('a dead engine is neither healthy nor ready, and its last numbers can still be read', async () => {
  server.engine.dead = new Error('sticky');
  for (const url of ['/health', '/ready']) {
    const response = await server.fastify.inject(url);
    assert.deepEqual([response.statusCode, response.json().error.code], [503, 'engine_dead']);
  }
  assert.equal((await server.fastify.inject('/metrics')).statusCode, 200);
});
