/** Who is asked: where, over what, which model, and the body that a prompt becomes there. */
import type { Prompt } from './mix.ts';

export type Backend = 'openai' | 'openai-chat' | 'websocket';

export interface Target {
  readonly backend: Backend;
  /** Of the requests, e.g. `http://127.0.0.1:8000/v1/completions`. */
  readonly address: string;
  /** Of the server, for everything else that is asked of it: always HTTP. */
  readonly base: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly model: string;
}

/** @param url of a server, or of one of its endpoints   @param chat its chat, where the address does not say */
export function readAddress(url: string, chat: boolean): Pick<Target, 'backend' | 'address' | 'base'> {
  if (!URL.canParse(url) || !/^(https?|wss?):$/.test(new URL(url).protocol))
    throw new Error(`--url must be the address of a server (http, https, ws or wss), not '${url}'.`);
  const { protocol, host, pathname } = new URL(url);
  const [, prefix = '', named] = /^(.*?)\/?(?:v1\/?)?((?:chat\/)?completions\/?)?$/.exec(pathname) ?? [];
  const endpoint = named?.replace(/\/$/, '') ?? (chat ? 'chat/completions' : 'completions');
  const backend = protocol.startsWith('ws') ? 'websocket' : endpoint.startsWith('chat') ? 'openai-chat' : 'openai';
  const base = `${protocol.replace('ws', 'http')}//${host}${prefix}`;
  return { backend, base, address: `${protocol}//${host}${prefix}/v1/${endpoint}` };
}

/** As OpenAI's clients and `vllm bench serve` have it: a key is no flag, since flags are written down. */
export function keyHeaders(): Record<string, string> {
  const key = process.env.OPENAI_API_KEY;
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** The first model of the server. @throws Error where there is no such server, or it says nothing of models */
export async function firstModel(base: string, headers: Readonly<Record<string, string>>): Promise<string> {
  const response = await fetch(`${base}/v1/models`, { headers }).catch((error: Error) => {
    throw new Error(`There is no server at ${base}: ${(error.cause as Error | undefined)?.message ?? error.message}.`);
  });
  const { data } = (await response.json().catch(() => ({}))) as { data?: readonly { id: string }[] };
  if (data?.[0] === undefined) throw new Error(`${base}/v1/models names no model (${response.status}): give --model.`);
  return data[0].id;
}

export interface Asking {
  readonly n: number;
  readonly ignoreEos: boolean;
  readonly temperature: number;
  /** Fields beside all others, e.g. `{"use_beam_search": true}`. */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** @throws Error for token ids in a chat */
export function bodyOf(target: Target, { prompt, outputLength }: Prompt, asking: Asking): Record<string, unknown> {
  const { backend, model, address } = target;
  const chat = address.endsWith('/chat/completions');
  if (chat && typeof prompt !== 'string') throw new Error('A chat takes no token ids: --prompts must be words.');
  return {
    model,
    ...(chat ? { messages: [{ role: 'user', content: prompt }] } : { prompt }),
    [chat ? 'max_completion_tokens' : 'max_tokens']: outputLength,
    temperature: asking.temperature,
    ...(asking.n > 1 ? { n: asking.n } : {}),
    // Other servers may refuse a field that they do not know.
    ...(asking.ignoreEos ? { ignore_eos: true } : {}),
    ...(backend === 'websocket' ? {} : { stream: true, stream_options: { include_usage: true } }),
    ...asking.extra,
  };
}
