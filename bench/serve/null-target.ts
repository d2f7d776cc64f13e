/** The parent's end of the null server. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { NullAddresses } from './null-server.ts';
import { readAddress, type Target } from './target.ts';

/** @param like asked over the same, with the same endpoint */
export async function withNullServer<T>(like: Target['backend'], run: (target: Target) => Promise<T>): Promise<T> {
  const child = fork(new URL('./null-server.js', import.meta.url));
  try {
    const [{ http, socket }] = (await once(child, 'message')) as [NullAddresses];
    const address = readAddress(like === 'websocket' ? socket : http, like === 'openai-chat');
    return await run({ ...address, base: http, headers: {}, model: 'null' });
  } finally {
    child.disconnect();
  }
}
