/**
 * Very many short requests through every door, a fifth of which are left or cancelled halfway: afterwards nothing may be left of
 * them, no answer may have been another one's, and the server's memory is what it was.
 */
import type { Agent } from 'node:http';
import { Draw } from '../statistics.ts';
import { shown } from '../table.ts';
import { complete, openAgent } from './client.ts';
import type { Benchmark, Finding, Outcome } from './report.ts';
import { type Asked, BenchServer, isIdle, strayPages } from './server.ts';
import type { ServerMemory } from './server-process.ts';
import { SocketClient } from './socket-client.ts';

const flags = {
  model: '../shared/models/g2p-bart-us',
  requests: 20_000,
  /** Requests after which memory is first looked at. */
  'warm-up': 5000,
  concurrency: 64,
  /** Share of requests that are left or cancelled. */
  leaving: 0.2,
  threads: 0,
  seed: 1,
};
export type SoakFlags = typeof flags;

const prompts = 300;
const sockets = 8;
/** Milliseconds within which a request is left. */
const patience = 40;

export const soak: Benchmark<SoakFlags> = {
  about: 'many short requests, a fifth left halfway; nothing may be left of them',
  flags,
  run: runSoak,
};

type Counts = Record<'completed' | 'left' | 'cancelled' | 'refused' | 'failed' | 'wrong', number>;

/** @throws Error where the server ends by itself */
export async function runSoak(given: SoakFlags, say: (line: string) => void): Promise<Outcome> {
  const server = await BenchServer.start({ model: [given.model], threads: given.threads });
  try {
    const clients = new Clients(server.asked, given);
    const start = performance.now();
    const memories: (ServerMemory & { requests: number })[] = [];
    const look = async () => {
      await server.idle(30_000);
      memories.push({ requests: clients.sent, ...(await server.memory()) });
    };
    for (let until = given['warm-up']; clients.sent < given.requests; until += given['warm-up']) {
      await clients.run(Math.min(until, given.requests));
      await look();
      say(`${clients.sent} requests after ${((performance.now() - start) / 1000).toFixed(0)} s`);
    }
    const seconds = (performance.now() - start) / 1000;
    clients.close();
    const state = await server.idle(30_000);
    const metrics = await (await fetch(`${server.asked.url}/metrics`)).text();
    const dead = await server.stop();
    const { counts, faults } = clients;
    const first = memories[0]!;
    const last = memories.at(-1)!;
    const growth = last.rss / first.rss - 1;
    const findings: Finding[] = [
      {
        promise: 'every request ended as it should',
        measured: JSON.stringify(counts) + (faults.size === 0 ? '' : ` ${[...faults].join(', ')}`),
        kept: counts.failed + counts.wrong + counts.refused === 0,
      },
      {
        promise: 'no request is left',
        measured: `${state.openRequests} open, ${state.atWork} at work; by /metrics ${gauge(metrics, 'running')} run, ${gauge(metrics, 'waiting')} wait`,
        kept: isIdle(state) && gauge(metrics, 'running') + gauge(metrics, 'waiting') === 0,
      },
      {
        promise: 'only caches hold pages',
        measured: `${strayPages(state)} pages of others`,
        kept: strayPages(state) === 0,
      },
      { promise: 'the engine closes with nothing left', measured: dead ?? 'it does', kept: dead === null },
      {
        promise: 'memory is flat within 5 %',
        measured: `RSS ${mebibytes(first.rss)} -> ${mebibytes(last.rss)} MiB (${shown(100 * growth)} %)`,
        kept: growth <= 0.05,
      },
    ];
    const table = memories.map(({ requests, rss, heapUsed, external }) => ({
      requests,
      'RSS MiB': mebibytes(rss),
      'heap MiB': mebibytes(heapUsed),
      'external MiB': mebibytes(external),
    }));
    const measured = { seconds, perSecond: clients.sent / seconds, counts, memories, state };
    say(`${shown(clients.sent / seconds)} requests a second`);
    return { table, findings, measured };
  } finally {
    server.kill();
  }
}

/** `vllm:num_requests_running` and its like, all models together. */
function gauge(metrics: string, name: string): number {
  const lines = metrics.split('\n').filter(line => line.startsWith(`vllm:num_requests_${name}{`));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);

class Clients {
  readonly #asked: Asked;
  readonly #flags: SoakFlags;
  readonly #draw: Draw;
  readonly #prompts: readonly (string | number[])[];
  /** The greedy answer to each prompt, as it first came. */
  readonly #texts = new Map<number, string>();
  readonly #agent: Agent = openAgent();
  readonly #sockets: readonly SocketClient[];
  readonly counts: Counts = { completed: 0, left: 0, cancelled: 0, refused: 0, failed: 0, wrong: 0 };
  /** How requests failed, by kind. */
  readonly faults = new Set<string>();
  sent = 0;

  constructor(asked: Asked, given: SoakFlags) {
    this.#asked = asked;
    this.#flags = given;
    this.#draw = new Draw(given.seed);
    const prompt = () => (asked.text ? this.#draw.word() : [...this.#draw.tokens(8, 64)]);
    this.#prompts = Array.from({ length: prompts }, prompt);
    this.#sockets = Array.from({ length: sockets }, () => new SocketClient(asked.url));
  }

  /** Sends until so many were sent in all, and waits for the last answers. */
  async run(until: number): Promise<void> {
    const client = async () => {
      while (this.sent < until) {
        this.sent++;
        await this.#one();
      }
    };
    await Promise.all(Array.from({ length: this.#flags.concurrency }, client));
  }

  close(): void {
    this.#agent.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #one(): Promise<void> {
    const draw = this.#draw;
    const index = draw.whole(0, prompts);
    // Some ask for several answers, drawn at random: those are only counted.
    const several = draw.uniform() < 0.1;
    const body = {
      model: this.#asked.model,
      prompt: this.#prompts[index],
      max_tokens: 24,
      ...(several ? { n: draw.whole(2, 5), temperature: 1, seed: draw.whole(0, 1000) } : { temperature: 0 }),
    };
    const leaves = draw.uniform() < this.#flags.leaving;
    const checked = several ? null : index;
    const door = draw.whole(0, 3);
    if (door === 2) await this.#bySocket(body, leaves, checked);
    else await this.#byHttp({ ...body, stream: door === 1 }, leaves, checked);
  }

  async #byHttp(body: object, leaves: boolean, checked: number | null): Promise<void> {
    const leaving = leaves ? { after: this.#draw.uniform() * patience } : undefined;
    const { status, text } = await complete(this.#agent, this.#asked.url, { ...body }, leaving);
    if (status === 200) this.#completed(text, checked);
    else if (status === 0 && leaves) this.counts.left++;
    else if (status === 429) this.counts.refused++;
    else this.#failed(`HTTP ${status}`);
  }

  async #bySocket(body: object, leaves: boolean, checked: number | null): Promise<void> {
    const socket = this.#sockets[this.#draw.whole(0, sockets)]!;
    // Most cancel; the others cut the socket, under whatever else runs on it.
    const cuts = leaves && this.#draw.uniform() < 0.3;
    if (cuts) setTimeout(() => socket.destroy(), this.#draw.uniform() * patience);
    const leaving = leaves && !cuts ? { cancelAfter: this.#draw.whole(0, 3) } : {};
    const { end, text, why } = await socket.complete({ ...body }, leaving);
    if (end === 'done') this.#completed(text, checked);
    else if (end === 'lost') this.counts.left++;
    else if (end === 'cancelled') this.counts.cancelled++;
    else if (end === 'refused') this.counts.refused++;
    else this.#failed(`socket: ${why}`);
  }

  #completed(text: string, checked: number | null): void {
    const right = checked === null || (this.#texts.get(checked) ?? text) === text;
    if (checked !== null && !this.#texts.has(checked)) this.#texts.set(checked, text);
    if (right) this.counts.completed++;
    else this.counts.wrong++;
  }

  #failed(how: string): void {
    this.counts.failed++;
    this.faults.add(how);
  }
}
