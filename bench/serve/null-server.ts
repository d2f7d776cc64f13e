/**
 * A server that answers at once with as many chunks as were asked for, in a process of its own: what a load client measures of it
 * is the client. Each chunk is a write of its own, as a server's tokens are. Its address is sent to the parent, without which it ends.
 */
import { createServer, type Socket } from 'node:net';
import { WebSocketServer } from 'ws';

export interface NullAddresses {
  readonly http: string;
  readonly socket: string;
}

const model = 'null';
const common = `"id":"null","created":0,"model":"${model}"`;
const finish = (index: number, tokens: number) => (index === tokens - 1 ? '"length"' : 'null');

/** The objects of an answer, by chat or not and its length, made once. */
const answers = new Map<string, readonly string[]>();
function answerOf(chat: boolean, tokens: number): readonly string[] {
  const key = `${chat} ${tokens}`;
  let answer = answers.get(key);
  if (answer === undefined) {
    answer = Array.from({ length: tokens }, (_, i) => {
      const said = chat ? '"delta":{"content":" token"}' : '"text":" token","logprobs":null';
      return `{${common},"choices":[{"index":0,${said},"finish_reason":${finish(i, tokens)}}],"usage":null}`;
    });
    answers.set(key, answer);
  }
  return answer;
}

const usageOf = (tokens: number) =>
  `{"prompt_tokens":1,"completion_tokens":${tokens},"total_tokens":${tokens + 1},"prompt_tokens_details":null}`;

function tokensOf(body: string): number {
  return Number(/"max_(?:completion_)?tokens":(\d+)/.exec(body)?.[1] ?? 16);
}

const writeChunk = (socket: Socket, text: string) =>
  socket.write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`);

function respond(socket: Socket, path: string, body: string): void {
  if (!path.endsWith('/completions')) {
    const found = path === '/v1/models';
    const text = found ? `{"object":"list","data":[{"id":"${model}","object":"model"}]}` : '{}';
    const head = `HTTP/1.1 ${found ? '200 OK' : '404 Not Found'}\r\ncontent-type: application/json\r\n`;
    socket.write(`${head}content-length: ${text.length}\r\n\r\n${text}`);
    return;
  }
  const tokens = tokensOf(body);
  socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n');
  for (const chunk of answerOf(path.includes('chat'), tokens)) writeChunk(socket, `data: ${chunk}\n\n`);
  writeChunk(socket, `data: {${common},"choices":[],"usage":${usageOf(tokens)}}\n\n`);
  writeChunk(socket, 'data: [DONE]\n\n');
  socket.write('0\r\n\r\n');
}

/** Reads whole requests off a connection: no more of HTTP than one client needs that is known. */
function serve(socket: Socket): void {
  let rest: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', piece => {
    rest = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    for (let end = rest.indexOf('\r\n\r\n'); end !== -1; end = rest.indexOf('\r\n\r\n')) {
      const head = rest.toString('latin1', 0, end);
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      if (rest.length < end + 4 + length) return;
      respond(socket, head.split(' ', 2)[1] ?? '', rest.toString('utf8', end + 4, end + 4 + length));
      rest = rest.subarray(end + 4 + length);
    }
  });
}

const http = createServer(serve);
const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0 });
sockets.on('connection', socket =>
  socket.on('message', data => {
    const frame = String(data);
    const id = /"id":(\d+)/.exec(frame)?.[1];
    const tokens = tokensOf(frame);
    for (const chunk of answerOf(false, tokens)) socket.send(`{"type":"chunk","id":${id},"data":${chunk}}`);
    socket.send(`{"type":"done","id":${id},"usage":${usageOf(tokens)}}`);
  }),
);
http.listen(0, '127.0.0.1', () => {
  const portOf = (address: unknown) => (address as { port: number }).port;
  process.send!({
    http: `http://127.0.0.1:${portOf(http.address())}`,
    socket: `ws://127.0.0.1:${portOf(sockets.address())}`,
  } satisfies NullAddresses);
});
process.on('disconnect', () => process.exit(0));
