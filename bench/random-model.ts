/** An engine over one of the paper's models with random weights, without a server. */
import { describeModels, startModels } from '../src/cli/models.ts';
import { type Config, configSchema } from '../src/config.ts';
import type { Engine } from '../src/engine/engine.ts';

/** Words of the paper's vocabulary. */
export const vocabulary = 32_768;

/** @param name e.g. `redllm-150m`   @param settings over bfloat16 and the defaults   @param run the engine ends with it */
export async function withRandomModel<T>(
  name: string,
  settings: Partial<Config>,
  say: (line: string) => void,
  run: (engine: Engine) => Promise<T>,
): Promise<T> {
  const config = configSchema.parse({ model: [`random:${name}`], dtype: 'bfloat16', ...settings });
  const running = await startModels(config, await describeModels(config), say);
  try {
    return await run(running.engine);
  } finally {
    await running.close();
  }
}
