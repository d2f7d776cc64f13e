/** Each wrong field is refused with its name over HTTP, before the engine sees anything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RedllmError } from '../src/errors.ts';
import { Generator } from '../src/generate.ts';
import type { GenerateRequest } from '../src/request.ts';
import type { ServedModel } from '../src/served-model.ts';
import { redllmError } from './fixtures/errors.ts';
import { ScriptedEngine, servedModel } from './fixtures/scripted-engine.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';

type Code = RedllmError['code'];
type Case = [request: Partial<GenerateRequest>, param: string, code?: Code, words?: RegExp];

async function refuses(model: ServedModel, [request, param, code = 'invalid_value', words = /./]: Case): Promise<void> {
  const engine = new ScriptedEngine([]);
  const stream = new Generator(engine, [model]).generate({ model: 'm', prompt: [5], ...request });
  await assert.rejects(stream.next(), redllmError(code, words, param), JSON.stringify(request));
  assert.equal(engine.submitted.length, 0);
}

function all(name: string, model: ServedModel, cases: readonly Case[]): void {
  test(name, async () => {
    for (const given of cases) await refuses(model, given);
  });
}

const tokenizer = smallTokenizer('byteFallback');
const bias = (token: number, value: number) => ({ logitBias: new Map([[token, value]]) });

all('sampling fields', servedModel({ tokenizer }), [
  [{ maxTokens: 0 }, 'max_tokens'],
  [{ maxTokens: 1.5 }, 'max_tokens'],
  [{ maxTokens: 1e9 }, 'max_tokens', 'context_length_exceeded', /1000000000.* 64 .* 1 .* 63 fit/],
  [{ maxTokens: 64 }, 'max_tokens', 'context_length_exceeded'],
  [{ minTokens: -1 }, 'min_tokens'],
  [{ minTokens: 5, maxTokens: 4 }, 'min_tokens', 'invalid_value', /5.* 4 /],
  [{ temperature: -1 }, 'temperature', 'invalid_value', /at least 0 .*, not -1/],
  [{ temperature: Number.POSITIVE_INFINITY }, 'temperature'],
  [{ temperature: Number.NaN }, 'temperature'],
  [{ temperature: 1e-50 }, 'temperature', 'invalid_value', /0 \(greedy\) or at least 0\.00001, not 1e-50/],
  [{ temperature: 9e-6 }, 'temperature'],
  [{ temperature: 1e39 }, 'temperature', 'invalid_value', /at most 1000000/],
  [{ temperature: 'hot' as never }, 'temperature', 'invalid_value', /"hot"/],
  [{ topK: -2 }, 'top_k'],
  [{ topK: 0.5 }, 'top_k'],
  [{ topP: 0 }, 'top_p', 'invalid_value', /greater than 0 and at most 1/],
  [{ topP: 1.1 }, 'top_p'],
  [{ minP: -0.1 }, 'min_p'],
  [{ minP: 1.1 }, 'min_p'],
  [{ n: 0 }, 'n'],
  [{ n: 1000 }, 'n', 'invalid_value', /at most 128, not 1000/],
  [{ repetitionPenalty: 0 }, 'repetition_penalty'],
  [{ repetitionPenalty: 1e-50 }, 'repetition_penalty', 'invalid_value', /at least 0.01 and at most 100/],
  [{ repetitionPenalty: 101 }, 'repetition_penalty'],
  [{ presencePenalty: 2.1 }, 'presence_penalty'],
  [{ frequencyPenalty: -2.1 }, 'frequency_penalty'],
  [bias(tokenizer.vocabularySize, 1), `logit_bias.${tokenizer.vocabularySize}`],
  [bias(7, 101), 'logit_bias.7'],
  [{ logitBias: new Map(Array.from({ length: 513 }, (_, id) => [id, 0])) }, 'logit_bias'],
  [{ seed: 0.5 }, 'seed'],
  [{ seed: 2 ** 60 }, 'seed'],
  [{ logprobs: 21 }, 'logprobs'],
  [{ logprobs: -1 }, 'logprobs'],
  [{ stop: [''] }, 'stop'],
  [{ stop: Array.from({ length: 17 }, () => 'x') }, 'stop', 'invalid_value', /at most 16/],
  [{ stop: ['x'.repeat(1025)] }, 'stop'],
  [{ stopTokens: [-1] }, 'stop_token_ids'],
  [{ stopTokens: Array.from({ length: 129 }, (_, id) => id) }, 'stop_token_ids'],
  [{ forcedFirst: 9999 }, 'forced_bos_token_id'],
  [{ forcedLast: -1 }, 'forced_eos_token_id'],
  [{ noRepeatNgram: -1 }, 'no_repeat_ngram_size'],
  [{ noRepeatNgram: 0.5 }, 'no_repeat_ngram_size'],
  [{ noRepeatNgram: 1025 }, 'no_repeat_ngram_size'],
  [{ badWords: [''] }, 'bad_words'],
  [{ badWords: [[]] }, 'bad_words'],
  [{ badWords: [[tokenizer.vocabularySize]] }, 'bad_words'],
  [{ badWords: ['x'.repeat(129)] }, 'bad_words'],
  [{ badWords: Array.from({ length: 129 }, () => 'x') }, 'bad_words', 'invalid_value', /at most 128/],
  [{ allowedTokens: [] }, 'allowed_token_ids'],
  [{ allowedTokens: [-1] }, 'allowed_token_ids'],
  [{ allowedTokens: Array.from({ length: 1025 }, () => 5) }, 'allowed_token_ids', 'invalid_value', /1 to 1024/],
  [{ allowedTokens: [5], forcedFirst: 6 }, 'forced_bos_token_id', 'invalid_value', /allowed_token_ids/],
  [{ priority: 11 }, 'priority'],
  [{ priority: 0.5 }, 'priority'],
  [{ cacheSalt: '' }, 'cache_salt'],
  [{ cacheSalt: 'x'.repeat(129) }, 'cache_salt'],
  [{ truncatePrompt: 0 }, 'truncate_prompt_tokens'],
  [{ timeout: 0 }, 'timeout'],
]);

all('the prompt of a decoder-only model', servedModel({ tokenizer }), [
  [{ prompt: [] }, 'prompt', 'invalid_value', /empty/],
  [{ prompt: '', addSpecialTokens: false }, 'prompt', 'invalid_value', /empty/],
  [{ prompt: [tokenizer.vocabularySize] }, 'prompt', 'invalid_value', /no token id/],
  [{ prompt: [5, -1] }, 'prompt'],
  [{ prompt: [1.5] }, 'prompt'],
  [{ prompt: Array.from({ length: 64 }, () => 5) }, 'prompt', 'context_length_exceeded', /64 .* 63 /],
  [{ prompt: 'z'.repeat(100) }, 'prompt', 'context_length_exceeded'],
  [{ prompt: 'z'.repeat(1000) }, 'prompt', 'context_length_exceeded', /1000 characters.* 63 /],
  [{ prompt: 'z'.repeat(1000), truncatePrompt: 64 }, 'prompt', 'context_length_exceeded', /1000 characters/],
  [{ decoderPrompt: [5] }, 'decoder_prompt', 'invalid_value', /no encoder/],
]);

all('the prompts of an encoder-decoder model', servedModel({ tokenizer, encoder: true }), [
  [{ prompt: [] }, 'prompt', 'invalid_value', /empty/],
  [{ prompt: [tokenizer.vocabularySize] }, 'prompt', 'invalid_value', /no token id/],
  [{ prompt: Array.from({ length: 33 }, () => 5) }, 'prompt', 'context_length_exceeded', /33 .* 32 /],
  [{ decoderPrompt: [tokenizer.vocabularySize] }, 'decoder_prompt'],
  [{ decoderPrompt: Array.from({ length: 63 }, () => 5) }, 'decoder_prompt', 'context_length_exceeded', /64 .* 63 /],
  [{ prompt: 'z'.repeat(1000) }, 'prompt', 'context_length_exceeded', /1000 characters.* 32 /],
  [{ decoderPrompt: 'z'.repeat(1000) }, 'decoder_prompt', 'context_length_exceeded', /1000 characters.* 63 /],
  [{ decoderPrompt: [5, 6], maxTokens: 62 }, 'max_tokens', 'context_length_exceeded', /62.* 3 .* 61 fit/],
]);

all('an encoder-decoder model without a start token', servedModel({ encoder: true, defaults: { endTokens: [2] } }), [
  [{}, 'decoder_prompt', 'invalid_value', /start token/],
]);

all('a model without a tokenizer', servedModel({ encoder: true }), [
  [{ prompt: 'text' }, 'prompt', 'unsupported', /token ids/],
  [{ decoderPrompt: 'text' }, 'decoder_prompt', 'unsupported', /token ids/],
  [{ stop: ['x'] }, 'stop', 'unsupported', /stop_token_ids/],
  [{ badWords: ['x'] }, 'bad_words', 'unsupported', /token ids/],
]);

all('an unknown model', servedModel(), [[{ model: 'other' }, 'model', 'model_not_found', /"other".* m\.$/]]);

test('tokenize and detokenize', async () => {
  const generator = new Generator(new ScriptedEngine([]), [servedModel({ tokenizer })]);
  const ids = tokenizer.encode('hello a');
  assert.deepEqual(await generator.tokenize({ model: 'm', prompt: 'hello a' }), { tokens: ids, texts: null });
  const { texts } = await generator.tokenize({ model: 'm', prompt: 'hello a', texts: true });
  assert.equal(texts?.join(''), '<s> hello a');
  assert.equal(generator.detokenize({ model: 'm', tokens: ids }), '<s> hello a');
  assert.equal(generator.detokenize({ model: 'm', tokens: ids, skipSpecialTokens: true }), 'hello a');
  assert.throws(() => generator.detokenize({ model: 'm', tokens: [-1] }), redllmError('invalid_value', /./, 'tokens'));
  const most = Array.from({ length: 16_384 }, () => ids[1]!);
  assert.ok(generator.detokenize({ model: 'm', tokens: most }).length > 0);
  assert.throws(
    () => generator.detokenize({ model: 'm', tokens: [...most, 5] }),
    redllmError('invalid_value', /at most 16384 ids, not 16385/, 'tokens'),
  );
  const bare = new Generator(new ScriptedEngine([]), [servedModel()]);
  await assert.rejects(
    bare.tokenize({ model: 'm', prompt: 'x' }),
    redllmError('unsupported', /no tokenizer/, 'prompt'),
  );
  assert.throws(
    () => bare.detokenize({ model: 'm', tokens: [1] }),
    redllmError('unsupported', /no tokenizer/, 'tokens'),
  );
  await generator.close();
});
