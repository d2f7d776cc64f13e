/**
 * The memory that all models' page pools share, in bytes. Where it is full, room is made in this order: what only a cache holds,
 * least recently used first; then the running request whose turn is last, of whichever model, goes back to its queue.
 */
import { compareTurns, type Turn } from './fair-share.ts';

/** A model, as far as memory is concerned. All of it is called between two of its steps, or while it plans one. */
export interface MemoryOwner {
  /** Bytes that evict() could free, call by call. */
  cachedBytes(): number;
  /** When what evict() would take was last used, by MemoryBudget.tick(); null: it has nothing to evict. */
  oldestCached(): number | null;
  /** Gives up what its caches have not used for longest. Its pages are free unless somebody else reads them. */
  evict(): void;
  /** The running request that is to give way first; null: none runs. */
  lastTurn(): Turn | null;
  /** Takes all that request's pages and puts it back into the queue. */
  preemptLast(): void;
}

export class MemoryBudget {
  readonly limit: number;
  #used = 0;
  #ticks = 0;
  readonly #owners = new Set<MemoryOwner>();
  /** Whose request was not admitted for want of memory, and its turn: nobody of a later turn may overtake it. */
  readonly #waiting = new Map<MemoryOwner, Turn>();

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  join(owner: MemoryOwner): void {
    this.#owners.add(owner);
  }

  leave(owner: MemoryOwner): void {
    this.#owners.delete(owner);
    this.#waiting.delete(owner);
  }

  /** Counts uses, so that what was used before can be told from what was used after. */
  tick(): number {
    return ++this.#ticks;
  }

  /**
   * Takes bytes into use, making room where there is none.
   * @param turn of who needs them: requests of later turns are preempted for it
   * @returns false, and nothing taken, where only requests of earlier turns are left to take it from
   */
  use(bytes: number, turn: Turn): boolean {
    while (this.#used + bytes > this.limit) {
      if (this.#evictOldest()) continue;
      const last = this.#lastOwner();
      if (last === null || compareTurns(last.turn, turn) <= 0) return false;
      last.owner.preemptLast();
    }
    this.#used += bytes;
    return true;
  }

  free(bytes: number): void {
    this.#used -= bytes;
    if (this.#used < 0) throw new Error('memory budget: more freed than was used');
  }

  /**
   * Whether a request may be admitted that is going to use so many bytes; nothing is set aside for it. A no is remembered until
   * the owner asks again with success or withdraws: other owners' requests of later turns are then refused too, so that a
   * stream of small requests to one model cannot starve a large one to another.
   */
  admits(bytes: number, owner: MemoryOwner, turn: Turn): boolean {
    for (const [other, since] of this.#waiting) {
      if (other !== owner && compareTurns(since, turn) < 0) return false;
    }
    let room = this.limit - this.#used;
    if (room < bytes) for (const each of this.#owners) room += each.cachedBytes();
    if (room < bytes) {
      this.#waiting.set(owner, turn);
      return false;
    }
    this.#waiting.delete(owner);
    return true;
  }

  /** The owner no longer waits: the request that was refused is gone. */
  withdraw(owner: MemoryOwner): void {
    this.#waiting.delete(owner);
  }

  #evictOldest(): boolean {
    let oldest: MemoryOwner | null = null;
    let since = Number.POSITIVE_INFINITY;
    for (const owner of this.#owners) {
      const used = owner.oldestCached();
      if (used === null || used >= since) continue;
      since = used;
      oldest = owner;
    }
    oldest?.evict();
    return oldest !== null;
  }

  #lastOwner(): { owner: MemoryOwner; turn: Turn } | null {
    let last: { owner: MemoryOwner; turn: Turn } | null = null;
    for (const owner of this.#owners) {
      const turn = owner.lastTurn();
      if (turn !== null && (last === null || compareTurns(turn, last.turn) > 0)) last = { owner, turn };
    }
    return last;
  }

  /** @throws Error where anything but caches uses memory, or anybody waits for it. */
  checkIdle(): void {
    let cached = 0;
    for (const owner of this.#owners) cached += owner.cachedBytes();
    if (this.#used !== cached || this.#waiting.size !== 0) {
      throw new Error(
        `memory budget: ${this.#used} bytes used, ${cached} of them by caches, ${this.#waiting.size} waiting, though idle`,
      );
    }
  }
}
