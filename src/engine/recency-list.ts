/**
 * What is not in use, in the order of its last use: a doubly linked list through its items, so that a move takes the same time
 * however long it is. (The first of a Set is found past all places that were deleted before it.)
 */
export interface Listed<T> {
  /** When it was used last; greater is later. */
  lastUse: number;
  before: T | null;
  after: T | null;
}

export class RecencyList<T extends Listed<T>> {
  #first: T | null = null;
  #last: T | null = null;

  /** Not used for longest; null: the list is empty. */
  get first(): T | null {
    return this.#first;
  }

  has(item: T): boolean {
    return item.before !== null || item.after !== null || this.#first === item;
  }

  /**
   * An item that is in no list takes its place by its last use. That is the end for what was just used, and near the beginning for what
   * outlived something old: from whichever end is nearer by its use, few others are passed.
   */
  add(item: T): void {
    let after: T | null = null;
    if (this.#last !== null && item.lastUse < this.#last.lastUse)
      for (after = this.#first; after !== null && after.lastUse <= item.lastUse; after = after.after);
    const before = after === null ? this.#last : after.before;
    item.before = before;
    item.after = after;
    if (before === null) this.#first = item;
    else before.after = item;
    if (after === null) this.#last = item;
    else after.before = item;
  }

  /** @returns whether it was in the list */
  remove(item: T): boolean {
    if (!this.has(item)) return false;
    const { before, after } = item;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
    item.before = null;
    item.after = null;
    return true;
  }
}
