/**
 * A whole server in a process of its own, as `redllm serve` starts it, for a parent that drives it: settings come as JSON in the
 * first argument, questions as messages. Without its parent it ends.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describeModels } from '../../src/cli/models.ts';
import { startServer } from '../../src/cli/serve.ts';
import { configSchema } from '../../src/config.ts';
import type { ModelStats } from '../../src/engine/protocol.ts';

export type Question = 'state' | 'memory' | 'stop';

/** What the server says of itself, for people who wonder why it was slow. */
export interface ServerState {
  readonly models: readonly ModelStats[];
  readonly openRequests: number;
  readonly queueDepth: number;
  /** HTTP requests and those on sockets. */
  readonly atWork: number;
  /** Milliseconds that the server's own thread came late, since the last question. */
  readonly late: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Seconds of processor time of the whole process. */
  readonly processor: number;
}

/** Bytes, after garbage was collected. */
export interface ServerMemory {
  readonly rss: number;
  readonly heapUsed: number;
  readonly external: number;
}

export type Reply =
  | { readonly type: 'listening'; readonly url: string; readonly device: string; readonly threads: number }
  | { readonly type: 'state'; readonly state: ServerState }
  | { readonly type: 'memory'; readonly memory: ServerMemory }
  /** `dead`: why the engine died, for one that found something left when it was closed. */
  | { readonly type: 'stopped'; readonly dead: string | null };

const config = configSchema.parse({ port: 0, logLevel: 'silent', ...JSON.parse(process.argv[2] ?? '{}') });
const { running, app, url } = await startServer(config, await describeModels(config), () => {});
const { engine } = running;
const tell = (reply: Reply) => process.send!(reply);
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

async function state(): Promise<ServerState> {
  const milliseconds = (nanoseconds: number) => nanoseconds / 1e6;
  const late = {
    p50: milliseconds(delay.percentile(50)),
    p99: milliseconds(delay.percentile(99)),
    max: milliseconds(delay.max),
  };
  delay.reset();
  const { user, system } = process.cpuUsage();
  return {
    models: await engine.stats(),
    openRequests: engine.openRequests,
    queueDepth: engine.queueDepth,
    atWork: app.drain.running,
    late,
    processor: (user + system) / 1e6,
  };
}

async function memory(): Promise<ServerMemory> {
  // What the first collection finalises the second one frees; the allocator gives pages back a little later.
  for (let i = 0; i < 2; i++) {
    collectGarbage();
    await sleep(200);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heapUsed, external };
}

async function stop(): Promise<void> {
  await app.close();
  await running.close();
  process.send!({ type: 'stopped', dead: engine.dead?.message ?? null } satisfies Reply, () => process.exit(0));
}

process.on('disconnect', () => process.exit(1));
process.on('message', async (question: Question) => {
  if (question === 'state') tell({ type: 'state', state: await state() });
  else if (question === 'memory') tell({ type: 'memory', memory: await memory() });
  else await stop();
});
tell({ type: 'listening', url, device: engine.device, threads: engine.threads });
