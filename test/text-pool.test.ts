/** Long texts give the same tokens in the pool's threads as at once, while other work goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedllmError } from '../src/errors.ts';
import { POOL_FROM, TokenizerPool } from '../src/text/pool.ts';
import { redllmError } from './fixtures/errors.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';

test('tokenises short and long texts alike', async () => {
  const pool = new TokenizerPool();
  try {
    const tokenizers = [smallTokenizer('byteFallback'), smallTokenizer('metaspace')];
    const texts = ['he', `${'hello a '.repeat(POOL_FROM / 8)}🙂`];
    for (const tokenizer of tokenizers)
      for (const text of texts)
        for (const addSpecialTokens of [true, false])
          assert.deepEqual(
            await pool.encode(tokenizer, text, { addSpecialTokens }),
            tokenizer.encode(text, { addSpecialTokens }),
          );
  } finally {
    await pool.close();
  }
});

test('a long text does not hold up this thread', async () => {
  const pool = new TokenizerPool();
  try {
    const tokenizer = smallTokenizer('byteFallback');
    const text = 'hello a '.repeat(40_000);
    await pool.encode(tokenizer, text.slice(0, POOL_FROM));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await pool.encode(tokenizer, text);
    clearInterval(timer);
    assert.ok(ticks > 5, `${ticks} ticks of a timer meanwhile`);
  } finally {
    await pool.close();
  }
});

test('after close texts are still tokenised, and closing twice is no harm', async () => {
  const pool = new TokenizerPool();
  await pool.close();
  const tokenizer = smallTokenizer('byteFallback');
  const text = 'he'.repeat(POOL_FROM);
  assert.deepEqual(await pool.encode(tokenizer, text), tokenizer.encode(text));
  await pool.close();
});

/** A pool both of whose threads are busy for long, so that texts wait. */
async function busy(pool: TokenizerPool, signal: AbortSignal) {
  const tokenizer = smallTokenizer('metaspace');
  const path = tokenizer.path;
  const short = { path, text: 'he', addSpecialTokens: true };
  await Promise.all([pool.run(short), pool.run(short)]);
  const long = { ...short, text: 'hello '.repeat(300_000) };
  const ended = [pool.run(long, signal), pool.run(long, signal)].map(run => run.catch((thrown: unknown) => thrown));
  await sleep(20);
  return { short, ended };
}

test('texts beyond those that may wait are refused with a time after which to come again', async () => {
  const pool = new TokenizerPool({ maxWaiting: 2, grace: 1 });
  const gone = new AbortController();
  try {
    const { short, ended } = await busy(pool, gone.signal);
    const waiting = [pool.run(short), pool.run(short)];
    await assert.rejects(pool.run(short), (thrown: RedllmError) => {
      assert.ok(thrown.retryAfter! >= 1);
      return redllmError('queue_full', /2 long texts wait/)(thrown);
    });
    gone.abort();
    await Promise.all([...ended, ...waiting]);
  } finally {
    await pool.close();
  }
});

test('a text that is no longer wanted leaves the queue, or its thread, with the reason', async () => {
  const pool = new TokenizerPool({ maxWaiting: 1, grace: 100 });
  const [first, second] = [new AbortController(), new AbortController()];
  try {
    const { short, ended } = await busy(pool, first.signal);
    const dropped = pool.run(short, second.signal);
    const reason = new Error('gone');
    second.abort(reason);
    await assert.rejects(dropped, error => error === reason);
    // Its place is free again.
    const next = pool.run(short);
    first.abort(reason);
    assert.deepEqual(await Promise.all(ended), [reason, reason]);
    const begun = performance.now();
    assert.ok((await next).length > 0);
    assert.ok(performance.now() - begun < 3000, `${performance.now() - begun} ms`);
    await assert.rejects(
      pool.encode(smallTokenizer('metaspace'), 'he', { signal: first.signal }),
      error => error === reason,
    );
  } finally {
    await pool.close();
  }
});
