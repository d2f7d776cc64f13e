/** How fast requests are completed, from the last of them: what a client that must wait is told. */
export class CompletionRate {
  readonly #times: number[] = [];
  readonly #window = 64;

  /** @param now milliseconds */
  completed(now: number): void {
    this.#times.push(now);
    if (this.#times.length > this.#window) this.#times.shift();
  }

  /** Whole seconds in [1, 60] that `requests` of them take at the rate measured up to now; 1 before anything is measured. */
  secondsFor(requests: number, now: number): number {
    const first = this.#times[0];
    if (first === undefined || this.#times.length < 2) return 1;
    const each = (now - first) / 1000 / (this.#times.length - 1);
    return Math.min(60, Math.max(1, Math.ceil(requests * each)));
  }
}
