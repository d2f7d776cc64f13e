/** One request's answer as it came in: when which chunk, how many tokens, and what went wrong if anything did. */

/** Kinds of errors; `http_418` and the like are a server's other answers. A `refused` one was told that the server is full. */
export type ErrorKind =
  | 'refused'
  | 'connect'
  | 'lost'
  | 'timeout'
  | 'stream'
  | 'empty'
  | 'unreadable'
  | `http_${number}`;

export interface Failure {
  readonly kind: ErrorKind;
  readonly message: string;
  /** Seconds after which a refused client may come back, where it was said. */
  readonly retryAfter: number | null;
}

/** Times are milliseconds of the client's clock. */
export interface Answer {
  readonly sent: number;
  /** When the first token came, and the last chunk of an answer; null for an answer without. */
  readonly first: number | null;
  readonly last: number | null;
  /** Between two chunks of one choice that brought tokens. */
  readonly gaps: readonly number[];
  readonly chunks: number;
  /** As the server's usage says; null where it did not. */
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly cachedTokens: number | null;
  readonly failure: Failure | null;
}

interface Choice {
  readonly index?: number;
  readonly text?: string | null;
  readonly token_ids?: readonly number[] | null;
  readonly delta?: Readonly<Record<string, unknown>> | null;
  readonly finish_reason?: string | null;
}

interface Usage {
  readonly prompt_tokens?: number | null;
  readonly completion_tokens?: number | null;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number | null } | null;
}

/** An object of a stream, of completions or of chat. */
export interface Chunk {
  readonly choices?: readonly Choice[] | null;
  readonly usage?: Usage | null;
  readonly error?: { readonly message?: string } | string | null;
}

/** Whether a token stands behind it: not behind chat's first chunk, which names a role, nor behind a last one that only ends. */
function bringsTokens({ text, token_ids, delta, finish_reason }: Choice): boolean {
  if (text || (token_ids && token_ids.length > 0)) return true;
  for (const key in delta) if (key !== 'role' && !isNothing(delta[key])) return true;
  // A token may have no text: half a character, or a special one.
  return finish_reason == null && !delta?.role;
}

const isNothing = (value: unknown) => value == null || value === '' || (Array.isArray(value) && value.length === 0);

/** Gathers an answer. */
export class Reader {
  readonly #sent: number;
  readonly #choices: number;
  #first: number | null = null;
  #last: number | null = null;
  /** When each choice last brought a token. */
  readonly #before: (number | undefined)[] = [];
  readonly #gaps: number[] = [];
  #chunks = 0;
  #finished = 0;
  #usage: Usage = {};
  #failure: Failure | null = null;

  /** @param choices how many answers were asked for */
  constructor(sent: number, choices: number) {
    this.#sent = sent;
    this.#choices = choices;
  }

  /** Every choice has said why it ended. */
  get finished(): boolean {
    return this.#finished >= this.#choices;
  }

  chunk({ choices, usage, error }: Chunk, time: number): void {
    if (error) this.fail('stream', typeof error === 'string' ? error : (error.message ?? JSON.stringify(error)));
    if (usage) this.usage(usage);
    for (const choice of choices ?? []) {
      this.#last = time;
      if (choice.finish_reason) this.#finished++;
      if (bringsTokens(choice)) this.#token(choice.index ?? 0, time);
    }
  }

  usage(usage: Usage): void {
    this.#usage = usage;
  }

  #token(index: number, time: number): void {
    this.#first ??= time;
    this.#chunks++;
    const before = this.#before[index];
    if (before !== undefined) this.#gaps.push(time - before);
    this.#before[index] = time;
  }

  /** The first thing that goes wrong is what counts. */
  fail(kind: ErrorKind, message: string, retryAfter: number | null = null): void {
    this.#failure ??= { kind, message, retryAfter };
  }

  answer(): Answer {
    // An end token alone is an answer; a good end without any chunk is not.
    const first = this.#first ?? this.#last;
    if (first === null) this.fail('empty', 'The stream ended well, but no token came.');
    return {
      sent: this.#sent,
      first,
      last: this.#last,
      gaps: this.#gaps,
      chunks: this.#chunks,
      inputTokens: this.#usage.prompt_tokens ?? null,
      outputTokens: this.#usage.completion_tokens ?? null,
      cachedTokens: this.#usage.prompt_tokens_details?.cached_tokens ?? null,
      failure: this.#failure,
    };
  }
}
