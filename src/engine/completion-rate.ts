/**
 * How fast requests are completed, from those of the last minute: what a client that must wait is told. Time in which there was
 * nothing to do does not count: a server that was idle is not slow.
 */
export class CompletionRate {
  readonly #completions: { readonly time: number; readonly idle: number }[] = [];
  readonly #most = 64;
  /** Milliseconds after which a completion says nothing about now. */
  readonly #memory = 60_000;
  /** Milliseconds without a request, up to the last one's coming. */
  #idle = 0;
  #idleSince: number | null = null;

  /** @param now milliseconds */
  completed(now: number): void {
    this.#completions.push({ time: now, idle: this.#idle });
    if (this.#completions.length > this.#most) this.#completions.shift();
  }

  /** The last open request has ended. */
  rests(now: number): void {
    this.#idleSince ??= now;
  }

  /** A request has come. */
  works(now: number): void {
    if (this.#idleSince !== null) this.#idle += now - this.#idleSince;
    this.#idleSince = null;
  }

  /** Whole seconds in [1, 60] that `requests` of them take at the rate measured up to now; 1 before anything is measured. */
  secondsFor(requests: number, now: number): number {
    const all = this.#completions;
    while (all.length > 0 && now - all[0]!.time > this.#memory) all.shift();
    const first = all[0];
    if (first === undefined || all.length < 2) return 1;
    const each = (now - first.time - (this.#idle - first.idle)) / 1000 / (all.length - 1);
    return Math.min(60, Math.max(1, Math.ceil(requests * each)));
  }
}
