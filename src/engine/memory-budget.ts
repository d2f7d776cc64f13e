/**
 * The memory limit that all models' page pools share. Two counts, in bytes: *promised* to admitted requests (their worst
 * case), and *used* by pages that hold something. used <= promised <= limit, so an admitted request never runs out, and
 * a model that is idle holds nothing back from the others.
 */
export class MemoryBudget {
  readonly limit: number;
  #promised = 0;
  #used = 0;
  /** Who was refused memory last, and for a request of which order: nobody who came later may overtake it. */
  readonly #waiting = new Map<object, number>();

  constructor(limit: number) {
    this.limit = limit;
  }

  get promised(): number {
    return this.#promised;
  }

  get used(): number {
    return this.#used;
  }

  /**
   * Promises bytes to a request, or says no. A no is remembered until the owner asks again with success or withdraws:
   * requests of other owners with a greater order are then refused too, so that a stream of small requests to one
   * model cannot starve a large one to another.
   */
  promise(bytes: number, owner: object, order: number): boolean {
    for (const [other, since] of this.#waiting) if (other !== owner && since < order) return false;
    if (this.#promised + bytes > this.limit) {
      this.#waiting.set(owner, order);
      return false;
    }
    this.#waiting.delete(owner);
    this.#promised += bytes;
    return true;
  }

  /** The owner no longer waits: the request that was refused is gone. */
  withdraw(owner: object): void {
    this.#waiting.delete(owner);
  }

  takeBack(bytes: number): void {
    this.#promised -= bytes;
    if (this.#promised < 0) throw new Error('memory budget: more taken back than was promised');
  }

  use(bytes: number): boolean {
    if (this.#used + bytes > this.limit) return false;
    this.#used += bytes;
    return true;
  }

  free(bytes: number): void {
    this.#used -= bytes;
    if (this.#used < 0) throw new Error('memory budget: more freed than was used');
  }

  /** @throws Error where anything is still promised, used or waited for. */
  checkIdle(): void {
    if (this.#promised !== 0 || this.#used !== 0 || this.#waiting.size !== 0) {
      throw new Error(
        `memory budget: ${this.#promised} bytes promised, ${this.#used} used, ${this.#waiting.size} waiting, though idle`,
      );
    }
  }
}
