/** Checkpoints as serve loads them, in this process. */
import { type DescribedModel, describeModels, type Running, startModels } from '../../src/cli/models.ts';
import type { Config } from '../../src/config.ts';
import { RedllmError } from '../../src/errors.ts';
import type { Say } from '../command.ts';

/** @throws Error that names the flag, where there is no such checkpoint, or none that is served */
export async function describe(config: Config): Promise<DescribedModel[]> {
  try {
    return await describeModels(config);
  } catch (cause) {
    if (!(cause instanceof RedllmError)) throw cause;
    throw new Error(`--model ${config.model.join(',')}: ${cause.message}`, { cause });
  }
}

/** @param run the engine ends with it */
export async function withModels<T>(
  config: Config,
  say: Say,
  run: (running: Running, models: readonly DescribedModel[]) => Promise<T>,
): Promise<T> {
  const models = await describe(config);
  const running = await startModels(config, models, say);
  try {
    return await run(running, models);
  } finally {
    await running.close();
  }
}
