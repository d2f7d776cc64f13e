/** The models in the box: what they were trained to say, to the letter, and that they are what is served where nobody names a model. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { splitDictionary } from '../bench/train/split.ts';
import { bundledModels } from '../src/cli/models.ts';
import { parameterCount } from '../src/models/spec-weights.ts';
import { packageRoot } from '../src/package-root.ts';
import { DirectModel } from './fixtures/direct.ts';
import { post, type RealServer, realServer } from './fixtures/real-server.ts';
import { testDevice } from './shared.ts';

/** What bench/train/export.py wrote: PyTorch's greedy answers in float32, and the logits of the first of them. */
interface Golden {
  readonly tokens: readonly (readonly number[])[];
  /** Of each token of an answer and of its end: [tokens + 1][vocabulary]. */
  readonly logits: readonly (readonly (readonly number[])[])[];
  readonly answers: readonly string[];
}

const goldens = JSON.parse(readFileSync(join(packageRoot, 'test', 'fixtures', 'g2p.json'), 'utf8')) as Record<
  string,
  Golden
>;
const held = splitDictionary().test;
/** Evenly from all of them, as export.py takes them. */
const words = Array.from({ length: 1000 }, (_, i) => held[Math.floor((i * held.length) / 1000)]!.prompt);

/** As `--dtype` has it: the checkpoints' own is bfloat16. */
type Type = 'float32' | 'auto';

for (const directory of bundledModels) {
  const name = basename(directory);
  const golden = goldens[name]!;

  describe(name, () => {
    const server: Partial<Record<Type, RealServer>> = {};
    before(async () => {
      const { device, cudaLibrary } = testDevice;
      const place = { device, ...(cudaLibrary !== null && { cudaLibrary }) };
      for (const dtype of ['float32', 'auto'] as const)
        server[dtype] = await realServer([directory], { ...place, dtype, kvMemory: 256 << 20, maxQueue: 1000 });
    });
    after(() => Promise.all(Object.values(server).map(each => each.close())));

    const ask = async (type: Type, prompt: string) => {
      const asked = { model: name, prompt, return_token_ids: true };
      const response = await post(`${server[type]!.url}/v1/completions`, asked);
      const { choices } = (await response.json()) as { choices: { text: string; prompt_token_ids: number[] }[] };
      // A decoder-only model goes on where its prompt ends: with a space.
      return { spoken: choices[0]!.text.trim(), prompt: choices[0]!.prompt_token_ids };
    };

    it('answers 1,000 words as the program that trained it', async () => {
      const answers = await Promise.all(words.map(word => ask('float32', word)));
      assert.deepEqual(
        answers.map(({ spoken }) => spoken),
        golden.answers,
      );
    });

    it('answers nearly all of them the same in bfloat16, which is how it is served', async () => {
      const answers = await Promise.all(words.map(word => ask('auto', word)));
      const same = answers.filter(({ spoken }, i) => spoken === golden.answers[i]).length;
      assert.ok(same >= 990, `${same} of 1,000`);
    });

    it('has its logits', async () => {
      const model = await DirectModel.load(directory, 'float32', testDevice);
      const { spec, defaults } = model.description;
      for (const [i, tokens] of golden.tokens.entries()) {
        const steps = tokens.length + 1;
        const { prompt } = await ask('float32', words[i]!);
        const found = spec.encoder
          ? model.greedy(prompt, [defaults.startToken!], steps)
          : model.greedy(null, prompt, steps);
        assert.deepEqual(found.tokens, [...tokens, defaults.endTokens[0]!]);
        for (const [step, logits] of golden.logits[i]!.entries())
          for (const [token, logit] of logits.entries())
            assert.ok(Math.abs(found.logits[step]![token]! - logit) < 1e-3, `word ${i}, step ${step}, token ${token}`);
      }
      model.free();
    });

    it('takes words in any case, with accents and spaces around them', async () => {
      assert.equal((await ask('auto', ' Café\n')).spoken, (await ask('auto', 'cafe')).spoken);
    });
  });
}

it('are of equal size, and light', async () => {
  const counts = [];
  for (const directory of bundledModels) {
    assert.ok(statSync(join(directory, 'model.safetensors')).size <= 2.5e6, directory);
    const model = await DirectModel.load(directory, 'bfloat16', testDevice);
    counts.push(parameterCount(model.description.spec));
    model.free();
  }
  assert.ok(Math.max(...counts) / Math.min(...counts) < 1.05, counts.join(', '));
});
