/** Long texts give the same tokens in the pool's threads as at once, while other work goes on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POOL_FROM, TokenizerPool } from '../src/text/pool.ts';
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
