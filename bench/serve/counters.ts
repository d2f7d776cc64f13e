/** What the server says of its own work during a run: the difference of its Prometheus counters. */

/** Of our server, and of vLLM where it has the same. */
const wanted = [
  'redllm:encoder_sources_total',
  'redllm:encoder_tokens_total',
  'redllm:encoder_cache_queries_total',
  'redllm:encoder_cache_hits_total',
  'redllm:encoder_time_seconds_total',
  'vllm:prefix_cache_queries_total',
  'vllm:prefix_cache_hits_total',
  'vllm:num_preemptions_total',
];

export type Counters = Readonly<Record<string, number>>;

/** Of one model; none of a server that has no metrics, or does not say them to everybody. */
export async function readCounters(
  base: string,
  model: string,
  headers: Readonly<Record<string, string>>,
): Promise<Counters> {
  const response = await fetch(`${base}/metrics`, { headers }).catch(() => null);
  const counters: Record<string, number> = {};
  if (response?.ok !== true) return counters;
  for (const line of (await response.text()).split('\n')) {
    const [, name, labels, value] = /^([a-z_:]+)\{([^}]*)\} ([\d.e+-]+)/.exec(line) ?? [];
    if (name !== undefined && wanted.includes(name) && labels!.includes(`model_name="${model}"`))
      counters[name] = Number(value);
  }
  return counters;
}

/** By the counters' names without `_total`; only those that both have. */
export function during(before: Counters, after: Counters): Record<string, number> {
  const both = Object.keys(after).filter(name => before[name] !== undefined);
  return Object.fromEntries(both.map(name => [name.replace(/_total$/, ''), after[name]! - before[name]!]));
}
