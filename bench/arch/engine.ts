/** One engine with the models of a match in it, their weights drawn in memory. */
import { type DescribedModel, startModels } from '../../src/cli/models.ts';
import { type Config, configSchema } from '../../src/config.ts';
import { describeRandom } from '../../src/models/registry.ts';
import type { ComputeType } from '../../src/models/spec.ts';
import type { NativeRuntime } from '../../src/native.ts';
import type { Say } from '../command.ts';
import type { Match } from './models.ts';
import type { Place } from './place.ts';
import { Subject } from './subject.ts';

export interface Where {
  /** The device's. */
  readonly settings: Partial<Config>;
  readonly compute: ComputeType;
  readonly seed: number;
  readonly batchTokens: number;
  /** Bytes of keys and values; 0: as many as there are. */
  readonly kvMemory: number;
}

/** Of a device, left to what computes beside the engine: the driver, and the measuring of its rates. */
const leftAlone = 5 * 2 ** 30;
const cpuKvMemory = 2 ** 30;

/** @param runtime of the same device, to ask what there is   @param places that are to be measured */
export async function withMatch<T>(
  match: Match,
  where: Where,
  runtime: NativeRuntime,
  places: readonly Place[],
  say: Say,
  run: (subjects: readonly Subject[]) => Promise<T>,
): Promise<T> {
  const { compute, seed, batchTokens } = where;
  // A decoder-only model has source and answer in one row.
  const maxModelLen = Math.max(...places.map(({ needs }) => needs.source + needs.decoder));
  const rows = Math.max(...places.map(({ needs }) => needs.rows));
  const models = match.candidates.map(({ name, config }): DescribedModel => {
    const description = describeRandom(config, seed);
    return { name, random: name, description, compute, maxSource: maxModelLen, maxTarget: maxModelLen };
  });
  const kvMemory = where.kvMemory || shareOfMemory(runtime, models, { batchTokens, maxModelLen });
  const settings: Partial<Config> = { ...where.settings, maxBatchTokens: batchTokens, maxRows: rows, kvMemory };
  const running = await startModels(configSchema.parse(settings), models, say);
  try {
    const { engine } = running;
    return await run(
      models.map(({ name, description: { spec } }) => {
        const loaded = engine.models.get(name)!;
        return new Subject(engine, { name, spec, compute, loaded });
      }),
    );
  } finally {
    await running.close();
  }
}

/** What a device has left for each model's keys and values once all their weights and scratch are in it. */
function shareOfMemory(
  runtime: NativeRuntime,
  models: readonly DescribedModel[],
  { batchTokens, maxModelLen }: { batchTokens: number; maxModelLen: number },
): number {
  const { free, total } = runtime.memory();
  if (total === 0) return cpuKvMemory;
  let left = free - leftAlone;
  for (const { description, compute } of models) {
    const { decoder } = description.spec;
    left -= runtime.footprint(description.spec, compute).weightBytes;
    // A token of a step in float32: stream, input, queries, keys and values twice, feed-forward.
    left -= (batchTokens + maxModelLen) * decoder.width * 40;
  }
  return Math.max(2 ** 20, Math.floor((0.95 * left) / models.length));
}
