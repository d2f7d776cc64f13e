/**
 * What is not in use, in the order of its last use: a doubly linked list through its items, so that each of three moves takes the
 * same time however long it is. (The first of a Set is found past all places that were deleted before it.)
 */
export interface Listed<T> {
  before: T | null;
  after: T | null;
}

export class RecencyList<T extends Listed<T>> {
  #first: T | null = null;
  #last: T | null = null;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Not used for longest; null: the list is empty. */
  get first(): T | null {
    return this.#first;
  }

  has(item: T): boolean {
    return item.before !== null || item.after !== null || this.#first === item;
  }

  /** An item that is in no list becomes the last. */
  add(item: T): void {
    item.before = this.#last;
    if (this.#last === null) this.#first = item;
    else this.#last.after = item;
    this.#last = item;
    this.#size++;
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
    this.#size--;
    return true;
  }
}
