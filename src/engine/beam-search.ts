/**
 * Beam search for one request, as transformers has it (GenerationMixin._beam_search of transformers 5): which beams live, which
 * hypotheses are kept, and when to stop. Pure: it is given candidates and gives back beams; who computes them is not its matter.
 * Scores are 32-bit floats, as they are there, so that near ties fall the same way.
 */
import type { BeamParams, TokenLogprobs } from './protocol.ts';

/** [token, log-probability by the full softmax]; a forced token comes alone, with log-probability 0. */
export type BeamCandidate = readonly [token: number, logprob: number];

export interface BeamSearchOptions {
  readonly beam: BeamParams;
  /** Hypotheses to give back: 1 to beam.width. */
  readonly wanted: number;
  /** Tokens of a hypothesis at most, the end token included. */
  readonly maxTokens: number;
  /** Tokens that end a hypothesis, stop tokens of the request among them. */
  readonly endTokens: ReadonlySet<number>;
  /** The token at maxTokens is a forced one: a hypothesis that reaches it was cut, whatever that token is. */
  readonly lastForced: boolean;
  /** Candidates to report with each token as its alternatives; -1: no log-probabilities at all. */
  readonly logprobs: number;
}

export interface LiveBeam {
  /** Which of the beams before this step it goes on from. */
  readonly parent: number;
  readonly token: number;
  /** Of the token alone. */
  readonly logprob: number;
}

export interface BeamStep {
  /** The beams to compute candidates for, best first; at most width. Empty when done. */
  readonly beams: readonly LiveBeam[];
  /** What the best hypothesis is now known to go on with, whatever else happens. Once done nothing is added: see results(). */
  readonly agreed: readonly number[];
  /** As many as agreed, where asked. */
  readonly agreedLogprobs: readonly TokenLogprobs[];
  readonly done: boolean;
}

export interface Hypothesis {
  /** The token that ended it included. */
  readonly tokens: number[];
  /** As many as tokens, where asked. A rank counts the candidates alone: banned tokens have none. */
  readonly logprobs: TokenLogprobs[];
  /** Sum of the log-probabilities over (number of tokens) ^ lengthPenalty. */
  readonly score: number;
  readonly finish: 'stop' | 'length';
}

/** A token of the tree of all beams. */
interface Node {
  readonly parent: Node | null;
  readonly token: number;
  readonly logprobs: TokenLogprobs | null;
  /** Nodes that lead to a tip. */
  readonly children: Set<Node>;
  /** Whether it is the end of a live beam, or of the best hypothesis. */
  tip: boolean;
}

interface Scored {
  readonly node: Node;
  readonly score: number;
}

interface Finished extends Scored {
  readonly finish: 'stop' | 'length';
}

/** A candidate among those of all beams. */
interface Continuation {
  readonly beam: number;
  readonly place: number;
  readonly token: number;
  readonly logprob: number;
  /** Sum of its log-probabilities. */
  readonly total: number;
}

/** How many of the most probable tokens each live beam must offer. */
export function beamCandidates(width: number, endTokens: number): number {
  // So many that width of them do not end, even if each beam offers all end tokens first.
  return Math.max(2, 1 + endTokens) * width;
}

export class BeamSearch {
  /** Most probable tokens to ask for from each live beam; banned ones left out. */
  readonly candidates: number;
  readonly #options: BeamSearchOptions;
  /** Hypotheses that are kept. */
  readonly #capacity: number;
  #live: Scored[];
  /** Best first. */
  #finished: Finished[] = [];
  /** The last node that all tips descend from. */
  #agreed: Node;
  #length = 0;
  #done = false;

  constructor(options: BeamSearchOptions) {
    const { beam, wanted, endTokens } = options;
    this.#options = options;
    this.candidates = beamCandidates(beam.width, endTokens.size);
    this.#capacity = beam.patience === null ? beam.width : Math.max(wanted, Math.round(beam.width * beam.patience));
    this.#agreed = { parent: null, token: -1, logprobs: null, children: new Set(), tip: true };
    this.#live = [{ node: this.#agreed, score: 0 }];
  }

  /** The tokens of a live beam, by its place in the last step's beams. Takes time by their number. */
  tokens(beam: number): number[] {
    return pathOf(this.#live[beam]!.node).map(({ token }) => token);
  }

  /**
   * One token more. Among equals the earlier beam goes first, then the more probable token, then the older hypothesis
   * (torch.topk leaves open which). Takes time by width times candidates, never by length.
   * @param rows for each live beam (one at first), its candidates, most probable first. There may be fewer than asked for, where
   *   tokens are banned or forced; those of log-probability -Infinity do not count.
   */
  advance(rows: readonly (readonly BeamCandidate[])[]): BeamStep {
    if (this.#done || rows.length !== this.#live.length)
      throw new Error(`beam search: ${rows.length} rows of candidates for ${this.#done ? 0 : this.#live.length} beams`);
    const { width } = this.#options.beam;
    const { endTokens, maxTokens } = this.#options;
    const before = this.#live;
    const best = this.#finished[0];
    this.#length++;
    const atEnd = this.#length >= maxTokens;
    const tops = this.#options.logprobs < 0 ? null : rows.map(row => row.slice(0, this.#options.logprobs));
    const next: Scored[] = [];
    const beams: LiveBeam[] = [];
    const ended: Finished[] = [];
    for (const [rank, continuation] of this.#best(rows).entries()) {
      const { beam, token, logprob, total } = continuation;
      const ends = endTokens.has(token);
      // Those that end below the best `width` were only asked for so that enough others go on.
      if ((ends || atEnd) && rank >= width) continue;
      if (!ends && !atEnd && next.length === width) continue;
      const node = grown(before[beam]!.node, continuation, tops?.[beam] ?? null);
      if (ends || atEnd) {
        const finish = ends && !(atEnd && this.#options.lastForced) ? 'stop' : 'length';
        ended.push({ node, score: this.#score(total, this.#length), finish });
      } else {
        next.push({ node, score: total });
        beams.push({ parent: beam, token, logprob });
      }
    }
    if (next.length + ended.length + this.#finished.length === 0) {
      // Nothing is allowed to follow: what there is has to do.
      for (const { node, score } of before)
        ended.push({ node, score: this.#score(score, Math.max(1, this.#length - 1)), finish: 'length' });
    }
    this.#finished = [...this.#finished, ...ended].sort((a, b) => b.score - a.score).slice(0, this.#capacity);
    this.#live = next;
    this.#done = next.length === 0 || this.#stops();
    if (this.#done) return { beams: [], agreed: [], agreedLogprobs: [], done: true };

    for (const { node } of next) attach(node);
    const winner = this.#finished[0];
    if (winner && winner !== best) {
      attach(winner.node);
      if (best) detach(best.node);
    }
    for (const { node } of before) detach(node);
    const agreed = this.#newlyAgreed();
    return {
      beams,
      agreed: agreed.map(({ token }) => token),
      agreedLogprobs: agreed.flatMap(({ logprobs }) => logprobs ?? []),
      done: false,
    };
  }

  /**
   * Once done: as many as wanted, best first. Where the model was allowed fewer different ones, the last is repeated.
   */
  results(): readonly Hypothesis[] {
    const { wanted } = this.#options;
    if (!this.#done) throw new Error('beam search: asked for results before the end');
    return Array.from({ length: wanted }, (_, i) => {
      const { node, score, finish } = this.#finished[Math.min(i, this.#finished.length - 1)]!;
      const path = pathOf(node);
      return {
        tokens: path.map(({ token }) => token),
        logprobs: path.flatMap(({ logprobs }) => logprobs ?? []),
        score,
        finish,
      };
    });
  }

  /** The best continuations of all beams together, best first: a merge, as each row is in order. */
  #best(rows: readonly (readonly BeamCandidate[])[]): Continuation[] {
    const heads = rows.map(() => 0);
    const totals = rows.map((row, beam) => this.#total(row[0], beam));
    const best: Continuation[] = [];
    while (best.length < this.candidates) {
      let beam = 0;
      for (let i = 1; i < totals.length; i++) if (totals[i]! > totals[beam]!) beam = i;
      const total = totals[beam]!;
      if (total === Number.NEGATIVE_INFINITY) break;
      const place = heads[beam]!++;
      const [token, logprob] = rows[beam]![place]!;
      best.push({ beam, place, token, logprob, total });
      totals[beam] = this.#total(rows[beam]![place + 1], beam);
    }
    return best;
  }

  #total(candidate: BeamCandidate | undefined, beam: number): number {
    return candidate ? Math.fround(this.#live[beam]!.score + Math.fround(candidate[1])) : Number.NEGATIVE_INFINITY;
  }

  #score(total: number, length: number): number {
    return Math.fround(total / Math.fround(length ** this.#options.beam.lengthPenalty));
  }

  /** Whether the search is over though beams live. */
  #stops(): boolean {
    const { earlyStopping, lengthPenalty, patience } = this.#options.beam;
    if (this.#finished.length < this.#capacity) return false;
    if (patience !== null || earlyStopping === true) return true;
    // With a penalty below or at 0 longer is never better; `false` takes it so in any case, as a heuristic.
    const length = earlyStopping === 'never' && lengthPenalty > 0 ? this.#options.maxTokens : this.#length;
    return !(this.#score(this.#live[0]!.score, length) > this.#finished.at(-1)!.score);
  }

  /**
   * What all tips share beyond what they were known to share. A hypothesis that is not the best will never be, so the best
   * and the live beams are all that matter.
   */
  #newlyAgreed(): Node[] {
    const agreed: Node[] = [];
    while (!this.#agreed.tip && this.#agreed.children.size === 1) {
      this.#agreed = this.#agreed.children.values().next().value!;
      agreed.push(this.#agreed);
    }
    return agreed;
  }
}

function grown(parent: Node, { place, token, logprob }: Continuation, top: readonly BeamCandidate[] | null): Node {
  return { parent, token, logprobs: top && { logprob, rank: place + 1, top }, children: new Set(), tip: false };
}

/** Makes a new node a tip of the tree. */
function attach(node: Node): void {
  node.tip = true;
  node.parent?.children.add(node);
}

/** A tip no more: nodes that lead to no tip leave the tree, each once, so that a step takes no longer for a long beam. */
function detach(tip: Node): void {
  tip.tip = false;
  for (let node = tip; node.parent && !node.tip && node.children.size === 0; node = node.parent)
    node.parent.children.delete(node);
}

/** From the first token on. */
function pathOf(tip: Node): Node[] {
  const path: Node[] = [];
  for (let node = tip; node.parent; node = node.parent) path.push(node);
  return path.reverse();
}
