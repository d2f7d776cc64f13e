/** Requests over our WebSocket: as many sockets as it takes, since a server lets so many requests run on each. */
import { SocketClient } from '../serving/socket-client.ts';
import { type Answer, type Chunk, Reader } from './answer.ts';
import type { Carrier } from './http.ts';
import type { Target } from './target.ts';

/** docs/api.md: requests that run on a socket at a time. */
const perSocket = 64;

export class SocketCarrier implements Carrier {
  readonly #target: Target;
  readonly #timeout: number;
  readonly #sockets: { readonly client: SocketClient; running: number }[] = [];

  /** @param timeout milliseconds that an answer may take */
  constructor(target: Target, timeout: number) {
    this.#target = target;
    this.#timeout = timeout;
  }

  async ask(body: string, choices: number): Promise<Answer> {
    const reader = new Reader(performance.now(), choices);
    const socket = this.#free();
    socket.running++;
    try {
      await this.#run(socket.client, body, reader);
    } finally {
      socket.running--;
    }
    return reader.answer();
  }

  async #run(client: SocketClient, body: string, reader: Reader): Promise<void> {
    if (!(await client.open())) {
      reader.fail('connect', `No WebSocket at ${this.#target.address}.`);
      return;
    }
    const chunk = (data: object) => reader.chunk(data as Chunk, performance.now());
    const { end, why, message, usage } = await client.complete(body, { chunk, timeout: this.#timeout });
    if (usage !== null) reader.usage(usage);
    if (end === 'refused') reader.fail('refused', message);
    else if (why === 'unanswered') reader.fail('timeout', `No answer within ${this.#timeout / 1000} s.`);
    else if (end === 'lost') reader.fail('lost', 'The socket ended before the answer did.');
    else if (end !== 'done') reader.fail('stream', `${why}: ${message}`);
  }

  #free() {
    const free = this.#sockets.find(({ running }) => running < perSocket);
    if (free !== undefined) return free;
    const { address, headers } = this.#target;
    const opened = { client: new SocketClient(address, headers), running: 0 };
    this.#sockets.push(opened);
    return opened;
  }

  close(): void {
    for (const { client } of this.#sockets) client.destroy();
  }
}
