/**
 * One step as flat arrays, allocated once and filled anew each step. native/plan.h reads them; the names here are the
 * contract. A *row* is one decoding sequence of the running batch; a *source* is an encoder input; a *sample* is one row of
 * logits to turn into a token.
 */
import type { StepLimits } from '../native.ts';

/** Places of the counts in `counts`. */
export const COUNT = { sources: 0, rows: 1, samples: 2, copies: 3, histories: 4, decodeRows: 5, used: 6 } as const;

const ints = {
  counts: 'how many of each, see COUNT',
  // Sources to encode: [sources]
  sourceStart: '[sources + 1] where each one begins in sourceTokens',
  sourceTokens: 'token ids, one source after the other',
  sourceState:
    '[sources] first row of its states in the encoder state buffer (limits.sourceTokens rows): they live there between layer ranges',
  sourceFirstLayer: '[sources] layers [first, last) are run in this step; at the last layer the cross pages are filled',
  sourceLastLayer: '[sources]',
  sourcePageStart:
    '[sources * cross groups + 1] where each table begins in sourcePages, source by source, group by group',
  sourcePages: 'cross pages that receive the keys and values',
  // Decoder rows: [rows]. The first counts[decodeRows] are of kind decode, the others of kind prefill (row-kind.ts).
  rowStart: '[rows + 1] where each row begins in tokens',
  tokens: 'ids; a negative value v means what sample ~v of the step before chose',
  rowIndex: '[rows] index of its first token of this step in its self K/V',
  rowPosition: '[rows] position of that token for the rotation and position tables',
  rowPrefix: '[rows] tokens [0, prefix) see each other (prefix-LM); 0: plain causal',
  rowSourceLength: '[rows] number of its cross keys; 0 for decoder-only',
  rowGroup: '[rows] equal numbers >= 0 read the same cross pages; -1: none',
  rowPageStart: '[rows * groups + 1] where each table begins in rowPages, row by row, group by group',
  rowPages: 'page tables; -1 where a windowed group has freed a page',
  // Pages to copy before anything else runs: [copies]
  copyFrom: '[copies]',
  copyTo: '[copies]',
  // Histories to set before sampling: [histories]
  historySlot: '[histories] slot whose counts are cleared and set',
  historyPrompt: '[histories] how many of its tokens are prompt; the rest are output',
  historyStart: '[histories + 1] where each one begins in historyTokens',
  historyTokens: '',
  // Samples: [samples]
  sampleToken: '[samples] index in tokens of the query whose logits are sampled',
  sampleSlot: '[samples] history slot in [0, limits.rows), or -1 where no penalty is used',
  topK: '[samples] 0: all',
  step: '[samples] tokens generated so far: the counter of the random draw',
  forced: '[samples] token to take whatever the logits say, or -1',
  alternatives: '[samples] most probable tokens to report; 0: the log-probability of the chosen alone; -1: nothing',
  candidates:
    '[samples] 1: the alternatives are what a search may go on with: tokens banned by a bias of -Infinity are left out; 0: they are not',
  biasStart: '[samples + 1] where each one begins in biasTokens',
  biasTokens: '',
  allowStart: '[samples + 1] where each one begins in allowTokens; an empty range allows all',
  allowTokens: '',
  // Results: [samples]
  outToken: '[samples]',
  outRank: '[samples]',
  outTopToken: '[samples, limits.alternatives]',
} as const;

const floats = {
  temperature: '[samples] 0: greedy',
  topP: '[samples]',
  minP: '[samples]',
  repetition: '[samples] 1: none',
  presence: '[samples]',
  frequency: '[samples]',
  biasValues: 'added to the logits; -Infinity bans the token',
  outLogprob: '[samples]',
  outTopLogprob: '[samples, limits.alternatives]',
} as const;

type IntName = keyof typeof ints;
type FloatName = keyof typeof floats;
export type Plan = { readonly [name in IntName]: Int32Array } & { readonly [name in FloatName]: Float32Array } & {
  /** [samples, 2] low and high word of each sample's seed. */
  readonly seed: Uint32Array;
};

/** Greatest sizes that the limits imply; the scheduler never plans beyond them. */
export interface PlanSizes {
  /** Page groups in all, and how many of them are cross: the last ones. */
  readonly groups: number;
  readonly crossGroups: number;
  readonly pageTokens: number;
  /** Greatest number of entries of logit bias and bans over all samples of a step. */
  readonly biasEntries: number;
  /** Greatest number of allowed tokens over all samples of a step. */
  readonly allowEntries: number;
  /** Greatest number of history tokens set in one step. */
  readonly historyTokens: number;
}

/** Allocates a plan in one buffer, so that its addresses never move. */
export function createPlan(limits: StepLimits, sizes: PlanSizes): Plan {
  const { rows, tokens, sources, sourceTokens, samples, alternatives } = limits;
  const selfPages = Math.ceil(limits.maxTarget / sizes.pageTokens) + 1;
  const selfGroups = sizes.groups - sizes.crossGroups;
  const crossPages = Math.ceil(limits.maxSource / sizes.pageTokens) + 1;
  const lengths: Record<IntName | FloatName, number> = {
    counts: COUNT.used,
    sourceStart: sources + 1,
    sourceTokens,
    sourceState: sources,
    sourceFirstLayer: sources,
    sourceLastLayer: sources,
    sourcePageStart: sources * sizes.crossGroups + 1,
    sourcePages: sizes.crossGroups * (Math.ceil(sourceTokens / sizes.pageTokens) + sources),
    rowStart: rows + 1,
    tokens,
    rowIndex: rows,
    rowPosition: rows,
    rowPrefix: rows,
    rowSourceLength: rows,
    rowGroup: rows,
    rowPageStart: rows * sizes.groups + 1,
    rowPages: rows * (selfGroups * selfPages + sizes.crossGroups * crossPages),
    copyFrom: rows * selfGroups,
    copyTo: rows * selfGroups,
    historySlot: rows,
    historyPrompt: rows,
    historyStart: rows + 1,
    historyTokens: sizes.historyTokens,
    sampleToken: samples,
    sampleSlot: samples,
    topK: samples,
    step: samples,
    forced: samples,
    alternatives: samples,
    candidates: samples,
    biasStart: samples + 1,
    biasTokens: sizes.biasEntries,
    allowStart: samples + 1,
    allowTokens: sizes.allowEntries,
    outToken: samples,
    outRank: samples,
    outTopToken: samples * alternatives,
    temperature: samples,
    topP: samples,
    minP: samples,
    repetition: samples,
    presence: samples,
    frequency: samples,
    biasValues: sizes.biasEntries,
    outLogprob: samples,
    outTopLogprob: samples * alternatives,
  };
  const names = Object.keys(lengths) as (IntName | FloatName)[];
  const seedLength = 2 * samples;
  const buffer = new ArrayBuffer(4 * names.reduce((sum, name) => sum + lengths[name], seedLength));
  const plan: Record<string, Int32Array | Float32Array | Uint32Array> = {};
  let offset = 0;
  for (const name of names) {
    plan[name] =
      name in ints ? new Int32Array(buffer, offset, lengths[name]) : new Float32Array(buffer, offset, lengths[name]);
    offset += 4 * lengths[name];
  }
  plan.seed = new Uint32Array(buffer, offset, seedLength);
  return plan as unknown as Plan;
}
