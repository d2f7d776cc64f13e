/** A request that the engine runs, and each of its answers or beams. */
import { BeamGroup } from './beam-group.ts';
import { beamCandidates } from './beam-search.ts';
import type { Turn } from './fair-share.ts';
import type { PrefixPlace } from './prefix-cache.ts';
import { type FinishReason, rowsOf, type SamplingParams, type SubmitMessage } from './protocol.ts';
import { needsTokens, sequenceSeed, usesPenalties } from './sampling.ts';
import { type Source, type SourceKey, sourceKey } from './source-cache.ts';

let serials = 0;

/** One of the answers of a request, or of its beams: a row of the running batch once it is admitted. */
export class Sequence {
  /** Another for each sequence that ever was. */
  readonly serial = serials++;
  readonly request: Request;
  /** Which of the request's sequences: of its answers, or rows of its beams. */
  readonly index: number;
  readonly seed: readonly [low: number, high: number];
  /** What it has generated, as far as that is known. */
  generated: number[] = [];
  /** Tokens that launches under way are choosing: they follow what is known. */
  unknown = 0;
  /** Which sample of the last launch chooses the last of them. */
  sample = -1;
  /** How often all it had was taken back: samples of an earlier life are not its own. */
  life = 0;
  /** Whether no live beam of its request's search is here: it has no tokens and no pages. */
  dormant = false;
  /** How many of its tokens, prompt first, have their keys and values in pages. */
  computed = 0;
  /** Scores that have gone out; what is computed anew after a preemption does not give them again. */
  scoresReported = 0;
  /** Page tables by self group; -1 where a windowed group has freed a page. */
  readonly tables: Int32Array[] = [];
  /** By self group: the page whose first tokens are its next ones; it writes the others, so it copies it first. null: none. */
  copyFrom: Int32Array | null = null;
  /** Where it stands in the prefix cache; null: nowhere. */
  prefix: PrefixPlace | null = null;
  /** Whether the prefix cache was asked for what it may share, since it has computed nothing. */
  attached = false;
  /** False: what it computes is not worth keeping, or not the cache's to keep. */
  cacheable = true;
  /** History slot for penalties while it is admitted; -1: it uses none. */
  slot = -1;
  /** Whether the slot holds this sequence's history. */
  historySet = false;
  finish: FinishReason | null = null;

  constructor(request: Request, index: number) {
    this.request = request;
    this.index = index;
    this.seed = sequenceSeed(request.params.seed, index);
  }

  /** Tokens that it has generated, unknown ones included. */
  get made(): number {
    return this.generated.length + this.unknown;
  }

  /** Prompt and generated tokens together. */
  get length(): number {
    return this.request.prompt.length + this.made;
  }

  /** Tokens whose keys and values are still to be computed: not the last one where nothing follows it. */
  get pending(): number {
    return this.length - (this.made >= this.request.params.maxTokens ? 1 : 0) - this.computed;
  }

  /** Whether only the token it generated last is left to compute. */
  get decoding(): boolean {
    return this.made > 0 && this.pending === 1;
  }

  /** ~sample where it is not known yet: as the plan says it. */
  token(index: number): number {
    const { prompt } = this.request;
    return index < prompt.length ? prompt[index]! : (this.generated[index - prompt.length] ?? ~this.sample);
  }
}

export class Request {
  readonly id: number;
  /** null: the model has no encoder. */
  readonly sourceKey: SourceKey | null;
  readonly prompt: Int32Array;
  /** How many of the prompt's last tokens get scores. */
  readonly scored: number;
  readonly params: SamplingParams;
  readonly penalties: boolean;
  /** Whether what may come next is worked out from the tokens themselves, so that no step goes on from one that is not known. */
  readonly needsTokens: boolean;
  /** Most probable tokens to report with each sample: those asked for, or a beam's candidates; -1: no log-probabilities. */
  readonly alternatives: number;
  readonly stopTokens: ReadonlySet<number>;
  /** Answers that are wanted. */
  readonly answers: number;
  /** As many as answers, or as beams. */
  readonly sequences: readonly Sequence[];
  /** null: it is no beam search. */
  readonly beams: BeamGroup | null;
  /** Milliseconds of the engine's clock. */
  readonly arrival: number;
  readonly deadline: number | null;
  /** Prompt tokens that see each other where the model's mask is prefix-LM. */
  readonly prefix: number;
  readonly cacheSalt: string | null;
  readonly client: string | null;
  readonly priority: number;
  /** Its place in the line of all models' requests. */
  readonly turn: Turn;
  /** Whether it left the queue for the running batch. */
  admitted = false;
  /** While it is admitted. */
  source: Source | null = null;
  /** Whether it was admitted before, and preempted. */
  preempted = false;
  /** Prompt and source tokens that were already computed when it was admitted. */
  cachedTokens = 0;
  /** When its first step was planned, in milliseconds of the engine's clock. */
  started: number | null = null;
  /** Whether its first event has gone out. */
  reported = false;

  constructor(message: SubmitMessage, turn: Turn, arrival: number) {
    this.id = message.id;
    this.sourceKey = message.source && sourceKey(message.source, message.cacheSalt);
    this.prompt = message.prompt;
    this.scored = message.scored;
    this.params = message.params;
    this.penalties = usesPenalties(message.params);
    this.stopTokens = new Set(message.params.stopTokens);
    this.needsTokens = needsTokens(message.params);
    const { beam, logprobs } = message.params;
    this.alternatives = beam === null ? logprobs : beamCandidates(beam.width, this.stopTokens.size);
    this.arrival = arrival;
    this.deadline = message.deadline;
    this.prefix = message.prompt.length - message.scored;
    this.cacheSalt = message.cacheSalt;
    this.client = message.client;
    this.priority = message.priority;
    this.turn = turn;
    this.answers = message.n;
    this.sequences = Array.from({ length: rowsOf(message) }, (_, index) => new Sequence(this, index));
    this.beams = beam === null ? null : new BeamGroup(this, message.n);
  }

  /** Tokens that it may still generate. */
  get unused(): number {
    const { maxTokens } = this.params;
    return this.sequences.reduce((sum, { generated }) => sum + maxTokens - generated.length, 0);
  }

  get finished(): boolean {
    return this.sequences.every(sequence => sequence.finish !== null);
  }
}
