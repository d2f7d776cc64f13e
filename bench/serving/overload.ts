/**
 * A server that is asked for twice what it can do: what it completes should stay what it can do, and whom it cannot serve should
 * hear so at once, with a time to come back. This process is the client; the server has one of its own.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { summary } from '../statistics.ts';
import { shown } from '../table.ts';
import { openAgent } from './client.ts';
import { Load, type Sent, throughput } from './load.ts';
import type { Benchmark, Finding, Outcome } from './report.ts';
import { BenchServer, isIdle } from './server.ts';
import type { ServerState } from './server-process.ts';

const flags = {
  model: 'random:redllm-150m',
  dtype: 'bfloat16',
  /** Threads that compute; 0: as many as the process may use. */
  threads: 0,
  /** Rows of the batch, and requests that may wait beside them. */
  rows: 64,
  queue: 64,
  /** Tokens of each source, and of an answer on average. */
  source: 64,
  tokens: 16,
  /** Numbers of clients to find the peak with, and seconds of each. */
  ramp: '1,8,32,64,96',
  'ramp-seconds': 10,
  /** Arrivals as a multiple of the peak, and their seconds. */
  times: 2,
  seconds: 60,
  seed: 1,
};
type OverloadFlags = typeof flags;

/** Milliseconds within which a refusal should come. */
const prompt = 50;

export const overload: Benchmark<OverloadFlags> = {
  about: 'twice the load that it can take: what is completed, and how soon the rest is refused',
  flags,
  run: async (given, say) => {
    const server = await BenchServer.start({
      model: [given.model],
      dtype: given.dtype as 'bfloat16',
      threads: given.threads,
      maxRows: given.rows,
      maxQueue: given.queue,
      maxModelLen: 1024,
    });
    const agent = openAgent();
    try {
      const load = new Load(server.asked, agent, {
        sourceTokens: given.source,
        maxTokens: given.tokens,
        seed: given.seed,
      });
      say(`${server.asked.model} on ${server.device}, ${server.threads} threads`);
      const ramp = await climb(load, server, given, say);
      const peak = ramp.reduce((best, one) => (one.requests > best.requests ? one : best));
      const rate = given.times * peak.requests;
      say(`peak ${shown(peak.requests)} requests a second with ${peak.clients} clients; now ${shown(rate)} a second`);
      await server.state();
      const client = monitorEventLoopDelay({ resolution: 1 });
      client.enable();
      const all = await load.open(rate, given.seconds);
      client.disable();
      const late = { p50: client.percentile(50) / 1e6, p99: client.percentile(99) / 1e6, max: client.max / 1e6 };
      const busy = await server.state();
      const idle = await server.idle(10_000);
      const dead = await server.stop();
      return outcomeOf(given, { ramp, peak, rate, all, late, busy, idle, dead });
    } finally {
      agent.destroy();
      server.kill();
    }
  },
};

interface Rung {
  readonly clients: number;
  /** A second. */
  readonly requests: number;
  readonly tokens: number;
  /** Milliseconds that the server's own thread came late. */
  readonly late: ServerState['late'];
}

async function climb(
  load: Load,
  server: BenchServer,
  given: OverloadFlags,
  say: (line: string) => void,
): Promise<Rung[]> {
  const ramp: Rung[] = [];
  const milliseconds = given['ramp-seconds'] * 1000;
  await load.closed(given.rows, 1);
  for (const clients of given.ramp.split(',').map(Number)) {
    await server.state();
    const all = await load.closed(clients, given['ramp-seconds']);
    const { late } = await server.state();
    // The first fifth fills the batch.
    ramp.push({ clients, ...throughput(all, milliseconds / 5, milliseconds), late });
    say(`${clients} clients: ${shown(ramp.at(-1)!.requests)} requests a second`);
  }
  return ramp;
}

interface Seen {
  readonly ramp: readonly Rung[];
  readonly peak: Rung;
  readonly rate: number;
  readonly all: readonly Sent[];
  /** Milliseconds that this client's own thread came late: its times are no finer. */
  readonly late: ServerState['late'];
  readonly busy: ServerState;
  readonly idle: ServerState;
  readonly dead: string | null;
}

function outcomeOf(given: OverloadFlags, seen: Seen): Outcome {
  const { ramp, peak, rate, all, late, busy, idle, dead } = seen;
  const milliseconds = given.seconds * 1000;
  const over = throughput(all, milliseconds / 6, milliseconds);
  const done = all.filter(({ answer }) => answer.status === 200);
  const refused = all.filter(({ answer }) => answer.status === 429);
  const others = all.filter(({ answer }) => answer.status !== 200 && answer.status !== 429);
  const refusals = summary(refused.map(({ answer }) => answer.time));
  const waits = summary(done.map(({ answer }) => answer.time));
  const told = refused.map(({ answer }) => answer.retryAfter);
  const untold = told.filter(seconds => seconds === null || !(seconds >= 1)).length;
  const row = (name: string, of: { requests: number; tokens: number }, server: ServerState['late']) => ({
    case: name,
    'requests/s': shown(of.requests),
    'tokens/s': shown(of.tokens),
    'server late p50 ms': shown(server.p50),
    'p99 ms': shown(server.p99),
    'max ms': shown(server.max),
  });
  const table = [
    ...ramp.map(one => row(`${one.clients} clients`, one, one.late)),
    row(`${shown(rate)} a second`, over, busy.late),
  ];
  const share = over.requests / peak.requests;
  const findings: Finding[] = [
    {
      promise: 'overload completes what the peak does, within 10 %',
      measured: `${shown(over.requests)} of ${shown(peak.requests)} requests a second (${shown(100 * share)} %)`,
      kept: share >= 0.9,
    },
    {
      promise: `429 within ${prompt} ms (p95)`,
      measured: `${refusals.count} of ${all.length}: p50 ${shown(refusals.p50)}, p95 ${shown(refusals.p95)}, max ${shown(refusals.max)} ms (the client itself late: p99 ${shown(late.p99)} ms)`,
      kept: refusals.count > 0 && refusals.p95 < prompt,
    },
    {
      promise: 'each 429 says when to come back',
      measured: `${untold} do not; ${[...new Set(told)].sort((a, b) => (a ?? 0) - (b ?? 0)).join(', ')} s`,
      kept: untold === 0,
    },
    {
      promise: 'every request is answered',
      measured: `${others.length} are not; ${idle.openRequests + idle.atWork} open at the end${dead === null ? '' : `; ${dead}`}`,
      kept: others.length === 0 && isIdle(idle) && dead === null,
    },
    {
      promise: 'nobody served waits longer than two full batches and queues take',
      measured: `p50 ${shown(waits.p50)}, p99 ${shown(waits.p99)}, longest ${shown(waits.max)} ms`,
      kept: waits.max < (2000 * (given.rows + given.queue)) / peak.requests,
    },
  ];
  const statuses = Object.fromEntries(
    [...new Set(all.map(({ answer }) => answer.status))].map(status => [
      status,
      all.filter(({ answer }) => answer.status === status).length,
    ]),
  );
  // [sent at, status, time, retry after] of each request.
  const each = all.map(({ sent, answer }) => [round(sent), answer.status, round(answer.time), answer.retryAfter]);
  return { table, findings, measured: { ramp, rate, over, refusals, waits, statuses, late, busy, each } };
}

const round = (value: number) => Math.round(value * 10) / 10;
