/** Requests by when they must end: a binary heap, so that a step asks for the next one without looking at the others. */
import type { Request } from './sequence.ts';

export class Deadlines {
  readonly #heap: Request[] = [];

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

  /** The next deadline of a request that has not finished, in milliseconds of the engine's clock; null: there is none. */
  next(): number | null {
    while (this.#heap.length > 0 && this.#heap[0]!.finished) this.#pop();
    return this.#heap[0]?.deadline ?? null;
  }

  /** Takes out a request whose deadline is over. */
  takeLate(now: number): Request | null {
    const next = this.next();
    return next !== null && next <= now ? this.#pop() : null;
  }

  #pop(): Request {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && late(heap[child]!, heap[child + 1]!)) child++;
      if (!late(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

/** Whether `a` is due after `b`. */
function late(a: Request, b: Request): boolean {
  return a.deadline! > b.deadline!;
}
