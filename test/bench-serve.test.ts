/** The load client against servers: ours over HTTP, chat and WebSocket, and what vLLM says; one record for all of them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { recordOf } from '../bench/command.ts';
import { type BenchmarkRecord, recordSchema } from '../bench/record.ts';
import { flags, type ServeFlags } from '../bench/serve/flags.ts';
import { type MockFlags, startMock } from '../bench/serve/mock-vllm.ts';
import { serve } from '../bench/serve/serve.ts';
import { RedllmError } from '../src/errors.ts';
import { tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { type FakeServer, fakeServer } from './fixtures/fake-generator.ts';
import { type RealServer, realServer } from './fixtures/real-server.ts';

let directory: string;
let server: RealServer;
let fake: FakeServer;
let fakeUrl: string;
const cleanups: (() => void)[] = [];
before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'redllm-'));
  const checkpoint = writeCheckpoint(
    { after: run => cleanups.push(run as () => void) },
    { config: tinyConfigs.redllm },
  );
  server = await realServer([checkpoint]);
  fake = await fakeServer();
  fakeUrl = await fake.listen();
});
after(async () => {
  await server.close();
  await fake.close();
  for (const cleanup of cleanups) cleanup();
  rmSync(directory, { recursive: true });
});

const small = {
  'num-prompts': 12,
  'num-warmups': 2,
  'input-len': '8',
  'output-len': '6',
  vocabulary: 40,
  goodput: 'ttft:60000',
};

/** The record as a reader finds it. */
async function record(given: Partial<ServeFlags>): Promise<BenchmarkRecord> {
  const all: ServeFlags = { ...flags, ...small, ...given };
  const started = new Date();
  const measured = await serve.run(all, [], () => {});
  // A checkout without history has no commit to name.
  const written = { ...recordOf('serve', { started, flags: all, measured: measured! }), commit: '0'.repeat(40) };
  return recordSchema.parse(JSON.parse(JSON.stringify(written)));
}

async function recordOfMock(mock: Partial<MockFlags>, given: Partial<ServeFlags>): Promise<BenchmarkRecord> {
  const running = await startMock(mock);
  try {
    return await record({ url: running.url, ...given });
  } finally {
    await running.close();
  }
}

const figuresOf = ({ cells }: BenchmarkRecord) => Object.keys(cells[0]!.figures).sort();

interface More extends Readonly<Record<string, unknown>> {
  readonly errors: readonly string[];
  readonly output_lens: readonly number[];
  readonly completed: number;
  readonly failed: number;
  readonly errors_by_kind: Readonly<Record<string, number>>;
  readonly server_counters: Readonly<Record<string, number>>;
  readonly further?: readonly unknown[];
}
const more = (of: BenchmarkRecord) => of.more as unknown as More;

/** What `vllm bench serve --save-result --save-detailed` writes of a run of generation. */
const vllmNames = [
  ...['date', 'endpoint_type', 'backend', 'label', 'model_id', 'tokenizer_id', 'num_prompts', 'request_rate'],
  ...['burstiness', 'max_concurrency', 'duration', 'completed', 'failed', 'total_input_tokens', 'total_output_tokens'],
  ...['request_throughput', 'request_goodput', 'output_throughput', 'total_token_throughput', 'input_lens'],
  ...['output_lens', 'ttfts', 'itls', 'latencies', 'start_times', 'queue_times', 'generated_texts', 'errors'],
  ...['max_output_tokens_per_s', 'max_concurrent_requests'],
  ...['ttft', 'tpot', 'itl', 'e2el'].flatMap(name =>
    ['mean', 'median', 'std', 'p50', 'p90', 'p95', 'p99'].map(statistic => `${statistic}_${name}_ms`),
  ),
];

describe('one record for every server', () => {
  let expected: BenchmarkRecord;
  before(async () => {
    expected = await recordOfMock({}, {});
  });

  const others: [what: string, given: () => Partial<ServeFlags>, backend: string][] = [
    ['this server over HTTP', () => ({ url: server.url, 'ignore-eos': true }), 'openai'],
    [
      'this server over its WebSocket',
      () => ({ url: server.url.replace('http', 'ws'), 'ignore-eos': true }),
      'websocket',
    ],
    ['this server for chat', () => ({ url: fakeUrl, chat: true, model: 'chatty', vocabulary: 1000 }), 'openai-chat'],
  ];
  for (const [what, given, backend] of others)
    it(`${what} as vLLM`, async () => {
      const found = await record(given());
      assert.deepEqual(figuresOf(found), figuresOf(expected));
      assert.deepEqual(Object.keys(more(found)).sort(), Object.keys(more(expected)).sort());
      assert.equal(found.cells[0]!.labels.backend, backend);
      assert.deepEqual(more(found).errors, new Array(12).fill(''));
      assert.equal(more(found).output_tokens_from, 'usage');
      assert.equal(found.cells[0]!.figures.ttft!.repetitions.length, 12);
    });

  it('has all fields of vLLM, and in a file of their own', async () => {
    const path = join(directory, 'vllm.json');
    const found = await recordOfMock({}, { 'result-filename': path, 'request-rate': '400' });
    const alone = JSON.parse(readFileSync(path, 'utf8'));
    for (const name of vllmNames) assert.ok(name in alone, name);
    assert.deepEqual(alone, more(found));
    assert.deepEqual([alone.completed, alone.failed, alone.request_rate], [12, 0, 400]);
    assert.equal(alone.request_goodput, alone.request_throughput);
    assert.deepEqual(alone.output_lens, new Array(12).fill(6));
  });

  it('counts prompts that the server had in a cache', async () => {
    const given = { url: server.url, 'ignore-eos': true, 'max-concurrency': 1 };
    const [none, most] = [
      await record({ ...given, seed: 7 }),
      await record({ ...given, mix: 'sources', duplicates: 0.75, seed: 8 }),
    ];
    assert.equal(more(none).cached_tokens, 0);
    assert.equal(more(most).cached_tokens, 9 * 8);
    assert.equal(more(most).server_counters['redllm:encoder_sources'], 3);
  });

  it('has every repetition of every rate, with prompts of its own', async () => {
    const mock = await startMock();
    const found = await record({ url: mock.url, repetitions: 2, 'request-rate': '500,inf' });
    await mock.close();
    assert.deepEqual(
      found.cells.map(({ labels }) => labels.rate),
      [500, 'inf'],
    );
    for (const { figures } of found.cells) {
      assert.equal(figures.request_throughput!.repetitions.length, 2);
      assert.equal(figures.e2el!.repetitions.length, 24);
    }
    assert.equal(more(found).further!.length, 3);
    assert.equal(new Set(mock.bodies.map(({ prompt }) => String(prompt))).size, 2 + 4 * 12);
  });
});

describe('what is asked', () => {
  it('is what flags say, with fields of their own beside', async () => {
    const mock = await startMock();
    const given = { n: 2, 'ignore-eos': true, 'extra-body': '{"top_k":5}', temperature: 0.5, 'num-warmups': 0 };
    const found = await record({ url: mock.url, ...given });
    await mock.close();
    const { prompt, ...body } = mock.bodies[0]!;
    assert.equal((prompt as number[]).length, 8);
    assert.deepEqual(body, {
      model: 'mock',
      max_tokens: 6,
      temperature: 0.5,
      n: 2,
      ignore_eos: true,
      stream: true,
      stream_options: { include_usage: true },
      top_k: 5,
    });
    assert.equal(more(found).total_output_tokens, 12 * 2 * 6);
  });

  it('may be usage with every chunk: the last is what counts', async () => {
    const extra = { stream_options: { include_usage: true, continuous_usage_stats: true } };
    for (const chat of [false, true]) {
      const found = await recordOfMock({}, { chat, 'extra-body': JSON.stringify(extra) });
      assert.deepEqual(more(found).output_lens, new Array(12).fill(6));
      assert.equal(found.cells[0]!.figures.itl!.repetitions.length, 12 * 5);
    }
  });

  it('stays below a cap', async () => {
    const mock = await startMock({ 'first-ms': 5 });
    await record({ url: mock.url, 'max-concurrency': 3 });
    await mock.close();
    assert.equal(mock.most, 3);
  });
});

describe('what goes wrong', () => {
  const only = { 'num-prompts': 24, 'num-warmups': 0 };

  it('counts tokens by chunks where a server does not say, and says so', async () => {
    const found = await recordOfMock({ 'without-usage': true }, {});
    assert.equal(more(found).output_tokens_from, 'chunks');
    assert.equal(more(found).total_output_tokens, 12 * 6);
    assert.equal(more(found).total_input_tokens, 12 * 8);
  });

  it('counts refusals apart, with their time to come back', async () => {
    const found = await recordOfMock({ queue: 4, 'first-ms': 300 }, only);
    const refused = found.cells[0]!.figures.refused!.median;
    assert.ok(refused > 0);
    assert.deepEqual(more(found).errors_by_kind, { refused });
    assert.deepEqual(more(found).retry_after_s, new Array(refused).fill(2));
    assert.equal(more(found).completed + refused, 24);
  });

  it('takes a full queue of this server for a refusal, over HTTP and over its WebSocket', async () => {
    fake.generator.failure = new RedllmError('queue_full', 'Too much waits.', { retryAfter: 3 });
    fake.generator.failAfter = 0;
    const given = { ...only, model: 'echo' };
    const [http, socket] = [
      await record({ url: fakeUrl, ...given }),
      await record({ url: fakeUrl.replace('http', 'ws'), ...given }),
    ];
    fake.generator.failAfter = Number.POSITIVE_INFINITY;
    for (const found of [http, socket]) {
      assert.deepEqual(more(found).errors_by_kind, { refused: 24 });
      assert.equal(more(found).errors[0], 'Too much waits.');
      assert.equal(more(found).completed, 0);
    }
    assert.deepEqual(more(http).retry_after_s, new Array(24).fill(3));
  });

  const failing: [what: string, mock: Partial<MockFlags>, kind: string, said: RegExp][] = [
    ['answers other than 200', { 'unavailable-each': 4 }, 'http_503', /The engine is not ready/],
    ['errors within a stream, [DONE] or not', { 'broken-each': 4 }, 'stream', /The engine is dead/],
    ['streams that are cut', { 'cut-each': 4 }, 'lost', /ended before/],
  ];
  for (const [what, mock, kind, said] of failing)
    it(`never takes for done: ${what}`, async () => {
      const found = await recordOfMock(mock, only);
      assert.deepEqual(more(found).errors_by_kind, { [kind]: 6 });
      assert.equal(more(found).completed, 18);
      assert.equal(more(found).total_output_tokens, 18 * 6);
      assert.equal(more(found).errors.filter(error => said.test(error)).length, 6);
      assert.equal(more(found).output_lens.filter(length => length === 0).length, 6);
    });

  it('waits no longer than it was told to, on connections that were used before, too', async () => {
    const mock = await startMock({ 'first-ms': 400 });
    const only = { timeout: 0.1, 'num-warmups': 0, 'num-prompts': 3 };
    const found = await record({ url: mock.url, ...only, repetitions: 2 });
    await mock.close();
    assert.deepEqual(more(found).errors_by_kind, { timeout: 3 });
    assert.equal(mock.bodies.length, 6, 'none was asked again');
    assert.equal(found.cells[0]!.figures.ttft, undefined);

    fake.generator.delay = 300;
    const socket = await record({ url: fakeUrl.replace('http', 'ws'), model: 'echo', ...only });
    fake.generator.delay = 0;
    assert.deepEqual(more(socket).errors_by_kind, { timeout: 3 });
  });

  it('ends though the server dies midway', async () => {
    const dying = { 'die-after': 8, 'token-ms': 2 };
    const found = await recordOfMock(dying, { ...only, 'request-rate': '500', 'max-concurrency': 6 });
    const { completed, failed, errors_by_kind } = more(found);
    assert.equal(completed + failed, 24);
    assert.ok(completed >= 8 - 1 && failed > 0, `${completed} completed`);
    for (const kind of Object.keys(errors_by_kind)) assert.ok(['lost', 'connect'].includes(kind), kind);
  });

  it('measures nothing where nothing answers, and says why', async () => {
    await assert.rejects(record({ url: 'http://127.0.0.1:9' }), /There is no server at/);
    await assert.rejects(
      recordOfMock({ 'unavailable-each': 1 }, { 'num-warmups': 2 }),
      /None of 2 requests was answered. http_503: The engine is not ready/,
    );
    const given = { url: 'ws://127.0.0.1:9', model: 'm', 'num-warmups': 1 };
    await assert.rejects(record(given), /connect: No WebSocket at/);
  });
});

it('knows its own ceiling, over each way there is', async () => {
  const alone = await record({ 'null-server': true });
  assert.equal(alone.cells[0]!.protocol, 'null');
  assert.equal(alone.device, 'null server');
  const mock = await startMock();
  const both = await record({ url: mock.url, chat: true, 'null-server': true });
  await mock.close();
  assert.deepEqual(
    both.cells.map(({ protocol }) => protocol),
    ['null', 'serve'],
  );
  assert.ok(both.cells[1]!.figures.output_throughput!.limit!.value > 0);
  const socket = await record({ url: server.url.replace('http', 'ws'), 'null-server': true });
  assert.equal(socket.cells[0]!.figures.failed!.median, 0);
});
