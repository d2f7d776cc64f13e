/** A full queue refuses before any work is done for the request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RedllmError } from '../src/errors.ts';
import { Generator } from '../src/generate.ts';
import { redllmError } from './fixtures/errors.ts';
import { ScriptedEngine, servedModel } from './fixtures/scripted-engine.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';

test('a text is not tokenised for a queue that is full', async () => {
  const engine = new ScriptedEngine([]);
  engine.full = new RedllmError('queue_full', 'Full.', { retryAfter: 3 });
  const tokenizer = smallTokenizer('byteFallback');
  let tokenised = 0;
  tokenizer.encode = () => [tokenised++];
  const generator = new Generator(engine, [servedModel({ tokenizer })]);
  for (const prompt of ['short', 'long '.repeat(10_000)])
    await assert.rejects(generator.generate({ model: 'm', prompt }).next(), redllmError('queue_full', /Full/));
  await assert.rejects(
    generator.generate({ model: 'm', prompt: 'x', n: 0 }).next(),
    redllmError('invalid_value', /n must/),
  );
  assert.equal(tokenised, 0);
  assert.equal(engine.submitted.length, 0);
  await generator.close();
});
