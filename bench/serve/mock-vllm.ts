/**
 * What vLLM's server says, without a model: its streams with their quirks, its envelopes of errors, and ways to fail.
 * For tests, and to try a load out: node dist/bench/serve/mock-vllm.js [--port 8001] [--first-ms 50] [--token-ms 10] [--queue 0].
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { readFlags } from '../flags.ts';

const defaults = {
  port: 0,
  /** Milliseconds until the first token, and between tokens. */
  'first-ms': 0,
  'token-ms': 0,
  /** Requests at once; those beyond get a 429. 0: no limit. */
  queue: 0,
  /** Each so many-th request fails: with a 503, in its stream, or with its connection. 0: none. */
  'unavailable-each': 0,
  'broken-each': 0,
  'cut-each': 0,
  /** It leaves out usage, as servers do that do not know `stream_options`. */
  'without-usage': false,
  /** Answers after which it dies with all that is under way. 0: never. */
  'die-after': 0,
};
export type MockFlags = typeof defaults;

export interface Mock {
  readonly url: string;
  /** Bodies as they came. */
  readonly bodies: Readonly<Record<string, unknown>>[];
  /** Most requests that it had at once. */
  readonly most: number;
  close(): Promise<void>;
}

interface Asked {
  readonly stream?: boolean;
  readonly n?: number;
  readonly max_tokens?: number;
  readonly max_completion_tokens?: number;
  readonly prompt?: string | readonly number[];
  readonly messages?: readonly { readonly content: string }[];
  readonly stream_options?: { readonly include_usage?: boolean; readonly continuous_usage_stats?: boolean };
}

export async function startMock(given: Partial<MockFlags> = {}): Promise<Mock> {
  const flags = { ...defaults, ...given };
  const bodies: Record<string, unknown>[] = [];
  const state = { running: 0, most: 0, answered: 0 };
  const server = createServer((request, response) => {
    request.on('error', () => {});
    void answer(request, response, { flags, bodies, state, server });
  });
  await new Promise<void>(resolve => server.listen(flags.port, '127.0.0.1', resolve));
  const close = () =>
    new Promise<void>(resolve => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    bodies,
    get most() {
      return state.most;
    },
    close,
  };
}

interface Inside {
  readonly flags: MockFlags;
  readonly bodies: Record<string, unknown>[];
  readonly state: { running: number; most: number; answered: number };
  readonly server: Server;
}

const model = 'mock';

async function answer(request: IncomingMessage, response: ServerResponse, inside: Inside): Promise<void> {
  const { flags, bodies, state, server } = inside;
  if (request.url === '/v1/models') {
    json(response, 200, { object: 'list', data: [{ id: model, object: 'model', owned_by: 'vllm', root: model }] });
    return;
  }
  if (!request.url?.endsWith('/completions')) {
    json(response, 404, { detail: 'Not Found' });
    return;
  }
  let text = '';
  for await (const piece of request.setEncoding('utf8')) text += piece;
  const body = JSON.parse(text) as Asked;
  bodies.push(body as Record<string, unknown>);
  const falls = (each: number) => each > 0 && bodies.length % each === 0;
  if (flags.queue > 0 && state.running >= flags.queue) {
    response.setHeader('retry-after', '2');
    fail(response, 429, 'TooManyRequestsError', 'Too many requests.');
    return;
  }
  if (falls(flags['unavailable-each'])) {
    fail(response, 503, 'ServiceUnavailableError', 'The engine is not ready.');
    return;
  }
  state.running++;
  state.most = Math.max(state.most, state.running);
  const ending = falls(flags['broken-each']) ? 'broken' : falls(flags['cut-each']) ? 'cut' : 'good';
  await stream(response, body, { flags, chat: request.url.includes('/chat/'), ending });
  state.running--;
  if (++state.answered === flags['die-after']) {
    server.close();
    server.closeAllConnections();
  }
}

async function stream(
  response: ServerResponse,
  body: Asked,
  how: { flags: MockFlags; chat: boolean; ending: 'good' | 'broken' | 'cut' },
): Promise<void> {
  const { flags, chat, ending } = how;
  const tokens = body.max_completion_tokens ?? body.max_tokens ?? 16;
  const choices = Array.from({ length: body.n ?? 1 }, (_, index) => index);
  const { include_usage = false, continuous_usage_stats = false } = flags['without-usage']
    ? {}
    : (body.stream_options ?? {});
  const prompt = body.prompt ?? body.messages?.map(({ content }) => content).join(' ') ?? '';
  const prompt_tokens = typeof prompt === 'string' ? prompt.split(' ').length : prompt.length;
  const usageAt = (made: number) => ({ prompt_tokens, total_tokens: prompt_tokens + made, completion_tokens: made });
  const head = {
    id: chat ? 'chatcmpl-1' : 'cmpl-1',
    object: chat ? 'chat.completion.chunk' : 'text_completion',
    created: 1_700_000_000,
    model,
  };
  const send = (value: object) => response.write(`data: ${JSON.stringify(value)}\n\n`);
  /** Completions write every field, with null; chat leaves out what was not set. */
  const sendChoice = (index: number, said: object, reason: string | null, made: number) => {
    const rest = chat ? {} : { stop_reason: null, prompt_token_ids: null };
    const choice = { index, ...said, logprobs: null, finish_reason: reason, ...rest };
    const usage = continuous_usage_stats ? { usage: usageAt(made) } : chat ? {} : { usage: null };
    send({ ...head, choices: [choice], ...usage });
  };

  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  await pause(flags['first-ms']);
  if (chat) for (const index of choices) sendChoice(index, { delta: { role: 'assistant', content: '' } }, null, 0);
  for (let made = 1; made <= tokens; made++) {
    if (made > 1) await pause(flags['token-ms']);
    const reason = made === tokens ? 'length' : null;
    for (const index of choices)
      sendChoice(index, chat ? { delta: { content: ' word' } } : { text: ' word' }, reason, made);
    if (made === Math.ceil(tokens / 2) && ending !== 'good') break;
  }
  if (ending === 'cut') {
    // Not before what was written has left.
    await sleep(5);
    response.destroy();
    return;
  }
  // Behind an error, too, stands [DONE].
  if (ending === 'broken') send({ error: { message: 'The engine is dead.', type: 'InternalServerError', code: 500 } });
  else if (include_usage) send({ ...head, choices: [], usage: usageAt(tokens * choices.length) });
  response.end('data: [DONE]\n\n');
}

const pause = (milliseconds: number) => (milliseconds > 0 ? sleep(milliseconds) : undefined);

function json(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function fail(response: ServerResponse, code: number, type: string, message: string): void {
  json(response, code, { error: { message, type, param: null, code } });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { flags } = readFlags(process.argv.slice(2), { ...defaults, port: 8001 });
  const { url } = await startMock(flags);
  console.log(`A mock of vLLM listens at ${url}.`);
}
