/** A request that the engine runs, and each of its n answers. */
import type { FinishReason, SamplingParams, SubmitMessage } from './protocol.ts';
import { sequenceSeed, usesPenalties } from './sampling.ts';
import type { Source } from './sources.ts';

/** One of the n answers of a request: a row of the running batch once it is admitted. */
export class Sequence {
  readonly request: Request;
  /** Which of the n. */
  readonly index: number;
  readonly seed: readonly [low: number, high: number];
  /** What it has generated. */
  readonly generated: number[] = [];
  /** How many of its tokens, prompt first, have their keys and values in pages. */
  computed = 0;
  /** Scores that have gone out; what is computed anew after a preemption does not give them again. */
  scoresReported = 0;
  /** Page tables by self group; -1 where a windowed group has freed a page. */
  readonly tables: Int32Array[] = [];
  /** Pages promised to it when it was admitted. */
  reserved = 0;
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

  /** Prompt and generated tokens together. */
  get length(): number {
    return this.request.prompt.length + this.generated.length;
  }

  /** Tokens whose keys and values are still to be computed: not the last one where nothing follows it. */
  get pending(): number {
    return this.length - (this.request.params.maxTokens === 0 ? 1 : 0) - this.computed;
  }

  /** Whether only the token it generated last is left to compute. */
  get decoding(): boolean {
    return this.generated.length > 0 && this.pending === 1;
  }

  token(index: number): number {
    const { prompt } = this.request;
    return index < prompt.length ? prompt[index]! : this.generated[index - prompt.length]!;
  }
}

export class Request {
  /** Also its place in the line of all models' requests: ids only grow. */
  readonly id: number;
  readonly sourceTokens: Int32Array | null;
  readonly prompt: Int32Array;
  /** How many of the prompt's last tokens get scores. */
  readonly scored: number;
  readonly params: SamplingParams;
  readonly penalties: boolean;
  readonly stopTokens: ReadonlySet<number>;
  readonly sequences: readonly Sequence[];
  /** Milliseconds of the engine's clock. */
  readonly arrival: number;
  readonly deadline: number | null;
  /** Whether it left the queue for the running batch. */
  admitted = false;
  /** Set at admission. */
  source: Source | null = null;
  /** Prompt and source tokens that were already computed when it was admitted. */
  cachedTokens = 0;
  /** When its first step was planned, in milliseconds of the engine's clock. */
  started: number | null = null;
  /** Whether its first event has gone out. */
  reported = false;

  constructor(message: SubmitMessage, arrival: number) {
    this.id = message.id;
    this.sourceTokens = message.source;
    this.prompt = message.prompt;
    this.scored = message.scored;
    this.params = message.params;
    this.penalties = usesPenalties(message.params);
    this.stopTokens = new Set(message.params.stopTokens);
    this.arrival = arrival;
    this.deadline = message.deadline;
    this.sequences = Array.from({ length: message.n }, (_, index) => new Sequence(this, index));
  }

  get finished(): boolean {
    return this.sequences.every(sequence => sequence.finish !== null);
  }
}
