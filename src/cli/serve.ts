/** `redllm serve`: load, listen, and go in good order. */
import { type Config, describeConfig, parseFlags, readConfig, settingFlags } from '../config.ts';
import { RedllmError } from '../errors.ts';
import { type App, buildApp } from '../server/app.ts';
import { version } from '../server/version.ts';
import { describeModels, type Running, startModels, withDefaultModels } from './models.ts';

/** Time that supervisors and clients get to see a dead engine before the process ends. */
const LAST_WORDS = 2000;
const signals = { SIGINT: 2, SIGTERM: 15 } as const;

/** Lines for people go to stderr; stdout is the log's. */
const say = (line: string) => process.stderr.write(`${line}\n`);

/** Returns once the server listens; the process then lives until a signal. @throws RedllmError */
export async function serve(args: readonly string[]): Promise<void> {
  const config = withDefaultModels(readConfig(parseFlags(args, settingFlags()), process.env));
  say(`redllm ${version}, with these settings:\n${describeConfig(config)}`);
  const models = await describeModels(config);
  const { running, app, url } = await startServer(config, models, say);
  endWell(app, running, config.shutdownTimeout);
  say(`listening at ${url}`);
}

/** The same for programs: a server that listens. @throws RedllmError */
export async function startServer(
  config: Config,
  models: Awaited<ReturnType<typeof describeModels>>,
  report: (line: string) => void,
) {
  const running = await startModels(config, models, report);
  try {
    const app = await buildApp({
      generator: running.generator,
      engine: running.engine,
      options: {
        apiKeys: config.apiKey,
        bodyLimit: config.bodyLimit,
        requestTimeout: config.requestTimeout * 1000,
        shutdownTimeout: config.shutdownTimeout * 1000,
        logLevel: config.logLevel,
        parallelPrompts: Math.max(1, Math.min(config.maxRows, config.maxQueue)),
      },
    });
    const url = await app.fastify.listen({ host: config.host, port: config.port, backlog: 4096 }).catch(cause => {
      throw new RedllmError(
        'invalid_config',
        `The server cannot listen at ${config.host}:${config.port} (${(cause as Error).message}).`,
        {
          param: 'port',
          cause,
        },
      );
    });
    return { running, app, url };
  } catch (error) {
    await running.close();
    throw error;
  }
}

function endWell(app: App, running: Running, shutdownTimeout: number): void {
  let ending = false;
  const end = async () => {
    await app.close();
    await running.close();
    process.exit(0);
  };
  for (const [signal, number] of Object.entries(signals))
    process.on(signal, () => {
      if (ending) process.exit(128 + number);
      ending = true;
      say(`${signal}: finishing ${app.drain.running} requests, for ${shutdownTimeout} s at most`);
      end().catch(error => {
        say(`The server did not end well: ${(error as Error).message}`);
        process.exit(1);
      });
    });
  running.engine.died.then(error => {
    say(`The engine has died: ${error.message}`);
    setTimeout(() => process.exit(1), LAST_WORDS);
  });
}
