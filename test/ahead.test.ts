/**
 * Real models whose steps are launched before the last one's tokens are known, on the CPU, which need not: every answer is the one
 * that it has step by step, bit for bit, with ample memory and with little.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openRuntime } from '../src/device.ts';
import type { Engine } from '../src/engine/engine.ts';
import type { EngineOptions } from '../src/engine/protocol.ts';
import { loadAddon, type NativeModel, type NativeRuntime } from '../src/native.ts';
import { connectHere } from './fixtures/connect-here.ts';
import { answerOf, mixedRequests, tinyEngine, tinyModels } from './fixtures/mixed-requests.ts';
import { sharedPath } from './shared.ts';

/** The CPU, said to be asynchronous: what is launched is done, but nobody knows before it is collected. */
class AheadRuntime implements NativeRuntime {
  readonly note = '';
  readonly asynchronous = true;
  readonly #inner: NativeRuntime;
  launchesAhead = 0;
  #underWay = 0;

  constructor(inner: NativeRuntime) {
    this.#inner = inner;
  }

  get device(): string {
    return this.#inner.device;
  }

  get threads(): number {
    return this.#inner.threads;
  }

  memory() {
    return this.#inner.memory();
  }

  footprint(...parts: Parameters<NativeRuntime['footprint']>) {
    return this.#inner.footprint(...parts);
  }

  measure(...parts: Parameters<NativeRuntime['measure']>) {
    return this.#inner.measure(...parts);
  }

  load(...parts: Parameters<NativeRuntime['load']>): NativeModel {
    const model = this.#inner.load(...parts);
    return {
      loadSome: bytes => model.loadSome(bytes),
      reservePages: pages => model.reservePages(pages),
      bind: plan => model.bind(plan),
      keep: on => model.keep(on),
      probe: bins => model.probe(bins),
      read: what => model.read(what),
      counters: () => model.counters(),
      free: () => model.free(),
      launch: () => {
        if (this.#underWay++ > 0) this.launchesAhead++;
        model.launch();
      },
      collect: () => {
        this.#underWay--;
        model.collect();
      },
    };
  }

  free(): void {
    this.#inner.free();
  }
}

async function all(engine: Engine, seed: number): Promise<string[]> {
  return Promise.all(mixedRequests(seed).map(request => answerOf(engine, request)));
}

describe('a step ahead', { skip: sharedPath('models', 'tiny') ? false : 'no golden models here' }, () => {
  for (const compute of ['float32', 'bfloat16'] as const) {
    it(`changes no bit of any answer in ${compute}`, async t => {
      const runtimes: AheadRuntime[] = [];
      const open = (options: EngineOptions) => openRuntime(loadAddon(), { ...options, device: 'cpu' });
      const connect = connectHere(options => {
        const runtime = new AheadRuntime(open(options).runtime);
        runtimes.push(runtime);
        return { runtime, notice: null };
      });
      const stepwise = await tinyEngine(compute, 64 << 20, { connect: connectHere(open) });
      t.after(() => stepwise.close());
      const pageBytes = [...stepwise.models.values()].map(({ footprint }) => footprint.pageBytes);
      const ample = await tinyEngine(compute, 64 << 20, { connect });
      t.after(() => ample.close());
      const scarce = await tinyEngine(compute, Math.max(...pageBytes) * 36, { connect });
      t.after(() => scarce.close());
      for (const seed of [5, 6]) {
        const expected = await all(stepwise, seed);
        for (const engine of [ample, scarce]) {
          for (const [i, answer] of (await all(engine, seed)).entries())
            assert.equal(answer, expected[i], `request ${i} of ${tinyModels[i % tinyModels.length]}`);
        }
      }
      for (const { launchesAhead } of runtimes) assert.ok(launchesAhead > 200, `${launchesAhead} launches ahead`);
      const preemptions = (await scarce.stats()).reduce((sum, model) => sum + model.preemptions, 0);
      assert.ok(preemptions > 10, `${preemptions} preemptions`);
    });
  }
});
