/** Stop strings over a text that arrives in pieces. */

export interface StopOptions {
  /** Let the stop string itself end the text. Default false. */
  readonly includeStop?: boolean;
}

export class StopMatcher {
  readonly #stops: readonly string[];
  readonly #includeStop: boolean;
  readonly #longest: number;
  #held = '';

  /** @param stops none of them empty */
  constructor(stops: readonly string[], options: StopOptions = {}) {
    this.#stops = stops;
    this.#includeStop = options.includeStop ?? false;
    this.#longest = Math.max(0, ...stops.map(stop => stop.length));
  }

  /**
   * The text that is final: all but an end that may become a stop string. With a match, the text before it (and the stop
   * string, if included), and which one it was: the one that is complete first, of those that end together the longest,
   * so that the answer does not depend on how the text was cut in pieces. After a match nothing may be pushed.
   */
  push(piece: string): { readonly text: string; readonly stop: string | null } {
    const text = this.#held + piece;
    let begin = 0;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const index = text.indexOf(stop);
      const reach = index + stop.length;
      if (index < 0 || reach > end || (reach === end && index >= begin)) continue;
      begin = index;
      end = reach;
    }
    if (end <= text.length) {
      this.#held = '';
      return { text: text.slice(0, this.#includeStop ? end : begin), stop: text.slice(begin, end) };
    }
    const keep = this.#heldLength(text);
    this.#held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stop: null };
  }

  /** What was held back. */
  finish(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }

  /** Length of the longest end of the text that begins a stop string. */
  #heldLength(text: string): number {
    for (let length = Math.min(this.#longest - 1, text.length); length > 0; length--) {
      const end = text.slice(text.length - length);
      if (this.#stops.some(stop => stop.startsWith(end))) return length;
    }
    return 0;
  }
}
