import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeCheckpoint } from '../src/models/registry.ts';
import { tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { redllmError } from './fixtures/errors.ts';

const own = { startToken: 2, endTokens: [2], padToken: 1, forcedLast: 2 };

test('without generation_config.json the family’s defaults stand alone', async t => {
  const directory = writeCheckpoint(t, { config: tinyConfigs.bart });
  assert.deepEqual((await describeCheckpoint(directory)).defaults, own);
});

test('do_sample decides whether the sampling fields count; the repetition penalty always does', async t => {
  const sampling = { temperature: 0.7, top_k: 40, top_p: 0.9, min_p: 0.05, repetition_penalty: 1.2 };
  const merged = async (generation: object) => {
    const directory = writeCheckpoint(t, { config: tinyConfigs.bart, generation: { ...sampling, ...generation } });
    return (await describeCheckpoint(directory)).defaults;
  };
  assert.deepEqual(await merged({ do_sample: true }), {
    ...own,
    temperature: 0.7,
    topK: 40,
    topP: 0.9,
    minP: 0.05,
    repetitionPenalty: 1.2,
  });
  const greedy = { ...own, temperature: 0, repetitionPenalty: 1.2 };
  assert.deepEqual(await merged({ do_sample: false }), greedy);
  assert.deepEqual(await merged({}), greedy);
  assert.equal((await merged({ do_sample: true, temperature: null })).temperature, 1);
});

test('generation_config.json overrides special tokens and can take a forced one back', async t => {
  const directory = writeCheckpoint(t, {
    config: { ...tinyConfigs.bart, forced_bos_token_id: 0 },
    generation: {
      decoder_start_token_id: 4,
      eos_token_id: [5, 6],
      pad_token_id: 3,
      forced_bos_token_id: 7,
      forced_eos_token_id: null,
      max_new_tokens: 20,
    },
  });
  assert.deepEqual((await describeCheckpoint(directory)).defaults, {
    startToken: 4,
    endTokens: [5, 6],
    padToken: 3,
    forcedFirst: 7,
    temperature: 0,
    maxNewTokens: 20,
  });
});

test('what it says of beams counts whether or not it samples', async t => {
  const beams = async (generation: Record<string, unknown>) => {
    const directory = writeCheckpoint(t, { config: tinyConfigs.bart, generation });
    const { numBeams, lengthPenalty, earlyStopping } = (await describeCheckpoint(directory)).defaults;
    return [numBeams, lengthPenalty, earlyStopping];
  };
  assert.deepEqual(await beams({ num_beams: 4, length_penalty: 0.6, early_stopping: true }), [4, 0.6, true]);
  assert.deepEqual(await beams({ early_stopping: 'never', num_beams: null }), [undefined, undefined, 'never']);
});

test('a wrong value is refused with file and field', async t => {
  for (const [generation, param] of [
    [{ eos_token_id: 48 }, 'eos_token_id'],
    [{ num_beams: 0 }, 'num_beams'],
    [{ early_stopping: 'soon' }, 'early_stopping'],
    [{ do_sample: true, top_p: 0 }, 'top_p'],
    [{ do_sample: true, temperature: -1 }, 'temperature'],
    [{ do_sample: true, top_k: -1 }, 'top_k'],
    [{ do_sample: 'yes' }, 'do_sample'],
    [{ repetition_penalty: 0 }, 'repetition_penalty'],
    [{ max_new_tokens: 0 }, 'max_new_tokens'],
  ] as const) {
    const directory = writeCheckpoint(t, { config: tinyConfigs.bart, generation });
    await assert.rejects(
      describeCheckpoint(directory),
      redllmError('invalid_checkpoint', /^generation_config\.json: /, param),
    );
  }
});

test('bans are defaults of greedy decoding too; what cannot be generated needs none', async t => {
  const read = async (generation: Record<string, unknown>) => {
    const directory = writeCheckpoint(t, { config: tinyConfigs.bart, generation });
    return (await describeCheckpoint(directory)).defaults;
  };
  const words = { bad_words_ids: [[7], [5, 6], [2], [2, 7], [1000]] };
  assert.deepEqual(await read({ no_repeat_ngram_size: 3, ...words }), {
    ...own,
    temperature: 0,
    noRepeatNgram: 3,
    badWords: [[7], [5, 6], [2, 7]],
  });
  assert.equal((await read({ no_repeat_ngram_size: 0 })).noRepeatNgram, 0);
  for (const [generation, param] of [
    [{ no_repeat_ngram_size: -1 }, 'no_repeat_ngram_size'],
    [{ bad_words_ids: [7] }, 'bad_words_ids'],
    [{ bad_words_ids: [[]] }, 'bad_words_ids'],
    [{ bad_words_ids: [[-1]] }, 'bad_words_ids'],
    [{ bad_words_ids: Array(257).fill([1]) }, 'bad_words_ids'],
  ] as const)
    await assert.rejects(read(generation), redllmError('invalid_checkpoint', /generation_config/, param));
});
