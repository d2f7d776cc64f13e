/** Server-sent events out of a stream that is cut anywhere. */

/** Calls back with the `data` of each event as it is complete; comments and other fields are nobody's business here. */
export class EventReader {
  #rest = '';
  readonly #event: (data: string) => void;

  constructor(event: (data: string) => void) {
    this.#event = event;
  }

  push(piece: string): void {
    const text = this.#rest === '' ? piece : this.#rest + piece;
    let start = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', start)) {
      this.#line(text.slice(start, text[end - 1] === '\r' ? end - 1 : end));
      start = end + 1;
    }
    this.#rest = text.slice(start);
  }

  /** What stands behind the last line's end: some servers leave out the end of their last event. */
  end(): void {
    this.push('\n');
  }

  /** Each event of these streams is one line; what has several data lines is no JSON either way. */
  #line(line: string): void {
    if (line.startsWith('data:')) this.#event(line.slice(line[5] === ' ' ? 6 : 5));
  }
}
