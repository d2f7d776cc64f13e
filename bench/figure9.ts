/** Figure 9 of the paper (arXiv 2510.26622), read off: examples per second of inference, RedLLM's over DecLLM's, on two TPU v5p. */
const figure9: Readonly<Record<string, number>> = { '150m': 1.53, '1b': 1.82, '2b': 1.75, '4b': 1.94, '8b': 1.92 };

/** What the paper has beside a ratio; nothing where it has nothing: of other protocols, metrics, models and sizes. */
export function paperRatio(ratio: {
  readonly protocol: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metric: string;
  readonly above: string;
  readonly below: string;
}): number | undefined {
  const { protocol, labels, metric, above, below } = ratio;
  const { size } = labels;
  const same = above === `redllm-${size}` && below === `decllm-${size}`;
  return same && protocol === 'paper' && metric === 'examples_per_second' ? figure9[String(size)] : undefined;
}
