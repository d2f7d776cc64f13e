/** One run: prompts drawn, bodies written, and only then the clock started. */
import { Draw } from '../statistics.ts';
import type { Answer } from './answer.ts';
import { schedule } from './arrivals.ts';
import { type Counters, during, readCounters } from './counters.ts';
import { type Carrier, HttpCarrier } from './http.ts';
import { disturbances, type Load, openLoop } from './load.ts';
import { type Metrics, measure, type Objectives } from './metrics.ts';
import { drawPrompts, type Mix } from './mix.ts';
import { SocketCarrier } from './socket.ts';
import { type Asking, bodyOf, type Target } from './target.ts';

export interface Plan {
  readonly count: number;
  readonly rate: number;
  readonly burstiness: number;
  /** Requests under way at most. */
  readonly cap: number;
  readonly mix: Mix;
  readonly asking: Asking;
  readonly objectives: Objectives | null;
}

export interface Run {
  readonly plan: Plan;
  readonly started: Date;
  readonly metrics: Metrics;
  readonly load: Load;
  /** What the server counted meanwhile; empty where it does not say. */
  readonly server: Counters;
  readonly disturbed: readonly string[];
}

/** Whoever asks one server, over connections that stay open from run to run. */
export class Client {
  readonly target: Target;
  readonly #carrier: Carrier;

  /** @param timeout milliseconds that an answer may take */
  constructor(target: Target, timeout: number) {
    this.target = target;
    this.#carrier =
      target.backend === 'websocket' ? new SocketCarrier(target, timeout) : new HttpCarrier(target, timeout);
  }

  /** Requests of the plan's mix that count nowhere. @throws Error where not one of them was answered */
  async warmUp(plan: Plan, count: number, seed: number): Promise<void> {
    if (count === 0) return;
    const { load } = await this.#send({ ...plan, count, rate: Number.POSITIVE_INFINITY }, new Draw(seed));
    const failures = load.sent.flatMap(({ answer }) => answer.failure ?? []);
    if (failures.length === count)
      throw new Error(`None of ${count} requests was answered. ${failures[0]!.kind}: ${failures[0]!.message}`);
  }

  async run(plan: Plan, seed: number): Promise<Run> {
    const { base, model, headers } = this.target;
    const started = new Date();
    const before = await readCounters(base, model, headers);
    const { load, prompts } = await this.#send(plan, new Draw(seed));
    const server = during(before, await readCounters(base, model, headers));
    const metrics = measure(load, prompts, plan.asking.n, plan.objectives);
    const disturbed = disturbances(load, plan.rate !== Number.POSITIVE_INFINITY);
    return { plan, started, metrics, load, server, disturbed };
  }

  async #send(plan: Plan, draw: Draw) {
    const { count, rate, burstiness, cap, mix, asking } = plan;
    const prompts = drawPrompts(count, mix, draw);
    const due = schedule(count, { rate, burstiness }, draw);
    const bodies = prompts.map(prompt => JSON.stringify(bodyOf(this.target, prompt, asking)));
    const ask = (index: number): Promise<Answer> => this.#carrier.ask(bodies[index]!, asking.n);
    return { prompts, load: await openLoop(due, cap, ask) };
  }

  close(): void {
    this.#carrier.close();
  }
}
