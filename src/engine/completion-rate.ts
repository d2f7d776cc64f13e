/** How fast requests are completed, from those of the last minute: what a client that must wait is told. */
export class CompletionRate {
  readonly #times: number[] = [];
  readonly #most = 64;
  /** Milliseconds after which a completion says nothing about now. */
  readonly #memory = 60_000;

  /** @param now milliseconds */
  completed(now: number): void {
    this.#times.push(now);
    if (this.#times.length > this.#most) this.#times.shift();
  }

  /** Whole seconds in [1, 60] that `requests` of them take at the rate measured up to now; 1 before anything is measured. */
  secondsFor(requests: number, now: number): number {
    while (this.#times.length > 0 && now - this.#times[0]! > this.#memory) this.#times.shift();
    const first = this.#times[0];
    if (first === undefined || this.#times.length < 2) return 1;
    const each = (now - first) / 1000 / (this.#times.length - 1);
    return Math.min(60, Math.max(1, Math.ceil(requests * each)));
  }
}
