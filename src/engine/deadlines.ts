/** Requests by when they must end: a binary heap, so that a step asks for the next one without looking at the others. */
import type { Request } from './sequence.ts';

export class Deadlines {
  readonly #heap: Request[] = [];
  /** Those in the heap that have finished. */
  #finished = 0;

  /** Requests that it knows, finished ones among them: at most as many as others, and one. */
  get size(): number {
    return this.#heap.length;
  }

  /** A request without a deadline is none of its business. */
  add(request: Request): void {
    if (request.deadline === null) return;
    const heap = this.#heap;
    let at = heap.push(request) - 1;
    for (let parent = (at - 1) >> 1; at > 0 && late(heap[parent]!, request); parent = (at - 1) >> 1) {
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = request;
  }

  /** A request has finished. It is let go once there are as many such as others, however late its deadline is. */
  forget({ deadline }: Request): void {
    if (deadline === null || ++this.#finished <= this.#heap.length / 2) return;
    const open = this.#heap.filter(request => !request.finished);
    this.#heap.length = 0;
    this.#finished = 0;
    for (const request of open) this.add(request);
  }

  /** The next deadline of a request that has not finished, in milliseconds of the engine's clock; null: there is none. */
  next(): number | null {
    for (; this.#heap[0]?.finished; this.#finished--) this.#pop();
    return this.#heap[0]?.deadline ?? null;
  }

  /** The request whose deadline has been over for longest; it stands there until it has finished. null: there is none. */
  firstLate(now: number): Request | null {
    const next = this.next();
    return next !== null && next <= now ? this.#heap[0]! : null;
  }

  /** Takes out the first. */
  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && late(heap[child]!, heap[child + 1]!)) child++;
      if (!late(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

/** Whether `a` is due after `b`. */
function late(a: Request, b: Request): boolean {
  return a.deadline! > b.deadline!;
}
