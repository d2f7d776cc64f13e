/** Any OpenAI-compatible server, or our WebSocket, under an open-loop load; docs/benchmark.md says how to read it. */
import { writeFileSync } from 'node:fs';
import type { Command, Measured, Say } from '../command.ts';
import type { Cell, Labels } from '../record.ts';
import { shown } from '../table.ts';
import { ceilingOf, cellOf, tableOf } from './cells.ts';
import { flags, prepare, readPercentiles, readPlans, type ServeFlags } from './flags.ts';
import { withNullServer } from './null-target.ts';
import { Client, type Plan, type Run } from './run.ts';
import { firstModel, keyHeaders, readAddress, type Target } from './target.ts';
import { vllmFields } from './vllm.ts';

export const serve: Command<ServeFlags> = {
  about: 'latency, throughput and goodput of a server under load',
  takes: '[out.json]',
  flags,
  prepare,
  run: async (given, _paths, say) => {
    if (given.url === '' && !given['null-server']) throw new Error('--url or --null-server must be given.');
    const address = given.url === '' ? null : readAddress(given.url, given.chat);
    const backend = address?.backend ?? (given.chat ? 'openai-chat' : 'openai');
    // Which address says chat is known only here: a WebSocket may lead there, too.
    const chat = address?.address.endsWith('/chat/completions') ?? given.chat;
    const plans = readPlans(given, chat);
    const percentiles = readPercentiles(given['metric-percentiles']);
    if (address === null) {
      const runs = await withNullServer(backend, target => measureTarget(target, plans, given, say));
      return finish('null server', runs, [], given, percentiles);
    }
    const headers = keyHeaders();
    const target: Target = { ...address, headers, model: given.model || (await firstModel(address.base, headers)) };
    // Before the load, while the server has nothing to do.
    const least = given['null-server'] ? await ceiling(target, plans[0]!, given, say) : [];
    const runs = await measureTarget(target, plans, given, say);
    return finish(target.base, runs, least, given, percentiles);
  },
};

interface Ran {
  readonly target: Target;
  readonly run: Run;
}

/** All loads of a repetition before the next one: what disturbs the machine for a while falls on all of them. */
async function measureTarget(
  target: Target,
  plans: readonly Plan[],
  given: ServeFlags,
  say: Say,
): Promise<readonly Ran[]> {
  const client = new Client(target, given.timeout * 1000);
  const ran: Ran[] = [];
  // Each run has prompts of its own: the ones of another would be cached by now.
  let seed = given.seed * 1_000_003;
  try {
    await client.warmUp(plans[0]!, given['num-warmups'], seed++);
    for (let repetition = 0; repetition < given.repetitions; repetition++)
      for (const plan of plans) {
        const run = await client.run(plan, seed++);
        const { completed, duration, failed } = run.metrics;
        say(`${paceOf(plan)}: ${completed} in ${shown(duration)} s${failed === 0 ? '' : `, ${failed} failed`}`);
        ran.push({ target, run });
      }
    return ran;
  } finally {
    client.close();
  }
}

const paceOf = ({ rate }: Plan) => (rate === Number.POSITIVE_INFINITY ? 'all at once' : `${rate} a second`);

/** The same requests, all at once, to a server that does nothing. */
function ceiling(like: Target, plan: Plan, given: ServeFlags, say: Say): Promise<readonly Ran[]> {
  const once = { ...given, repetitions: 1 };
  const all = { ...plan, rate: Number.POSITIVE_INFINITY };
  return withNullServer(like.backend, target => measureTarget(target, [all], once, say));
}

/** @param least what measured the client's own ceiling */
function finish(
  device: string,
  runs: readonly Ran[],
  least: readonly Ran[],
  given: ServeFlags,
  percentiles: readonly number[],
): Measured {
  const limit = least[0] === undefined ? null : ceilingOf(least[0].run);
  const plans = [...new Set(runs.map(({ run }) => run.plan))];
  const cells: Cell[] = [
    ...least.map(({ run, target }) => cellOf('null', labelsOf(run.plan, target, { ...given, label: '' }), [run], null)),
    ...plans.map(plan => {
      const ran = runs.filter(({ run }) => run.plan === plan);
      const protocol = given.url === '' ? 'null' : 'serve';
      return cellOf(
        protocol,
        labelsOf(plan, ran[0]!.target, given),
        ran.map(({ run }) => run),
        limit,
      );
    }),
  ];
  const [first, ...further] = runs.map(ran => fieldsOf(ran, given, percentiles));
  const path = given['result-filename'];
  if (path !== '') writeFileSync(path, [first, ...further].map(fields => `${JSON.stringify(fields)}\n`).join(''));
  const sentences = [...least, ...runs].flatMap(({ run }) =>
    run.disturbed.map(sentence => `${paceOf(run.plan)}: ${sentence}`),
  );
  return {
    device,
    seed: given.seed,
    disturbed: sentences,
    cells,
    ratios: [],
    more: { ...first, ...(further.length > 0 ? { further } : {}) },
    table: tableOf(cells),
  };
}

function labelsOf(plan: Plan, { backend, model, base }: Target, given: ServeFlags): Labels {
  const { mix } = plan;
  return {
    server: given.label || (model === 'null' ? 'null server' : base),
    model,
    backend,
    mix: mix.name,
    rate: plan.rate === Number.POSITIVE_INFINITY ? 'inf' : plan.rate,
    concurrency: plan.cap === Number.POSITIVE_INFINITY ? 'inf' : plan.cap,
    input: given['input-len'],
    output: given['output-len'],
    n: plan.asking.n,
    ...(mix.name === 'sources' ? { duplicates: mix.duplicates } : {}),
    ...(mix.name === 'prefixes' ? { prefix: mix.prefixLength, share: mix.prefixShare, prefixes: mix.prefixes } : {}),
  };
}

/** vLLM's fields, and behind them what it has no names for. */
function fieldsOf({ target, run }: Ran, given: ServeFlags, percentiles: readonly number[]): Record<string, unknown> {
  const { metrics, load, plan, server } = run;
  const { rate, burstiness, cap } = plan;
  const { backend, model } = target;
  const asked = { backend, model, rate, burstiness, cap, percentiles, label: given.label || null };
  return {
    ...vllmFields(metrics, asked, run.started),
    output_tokens_from: metrics.counted,
    cached_tokens: metrics.cached,
    errors_by_kind: metrics.errors,
    retry_after_s: metrics.retryAfter,
    late_ms: metrics.requests.map(({ late }) => Math.round(late * 1000) / 1000),
    client_thread_late_ms: load.thread,
    server_counters: server,
  };
}
