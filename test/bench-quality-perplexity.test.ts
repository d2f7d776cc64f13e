/** Perplexity of given text: known models, the same sum over logits, and what is refused. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { recordOf, writeRecord } from '../bench/command.ts';
import type { Pooled } from '../bench/quality/perplexity.ts';
import { quality } from '../bench/quality/quality.ts';
import { spread } from '../bench/quality/windows.ts';
import { readRecord } from '../bench/record.ts';
import { type Cleanup, temporaryDirectory, tinyConfigs, writeCheckpoint, writeJson } from './fixtures/checkpoint.ts';
import { DirectModel } from './fixtures/direct.ts';
import { smallTokenizer, tokenizerKinds } from './fixtures/tokenizers.ts';
import { testDevice } from './shared.ts';

const ids = Array.from({ length: 100 }, (_, i) => 3 + ((i * 17 + (i >> 3)) % 45));
const place = {
  device: testDevice.device,
  'cuda-library': testDevice.cudaLibrary ?? '',
  threads: 1,
  'kv-memory': '64MiB',
};

function idsFile(t: Cleanup, tokens: readonly number[] = ids): string {
  const path = join(temporaryDirectory(t), 'ids.txt');
  writeFileSync(path, tokens.join(' '));
  return path;
}

async function measure(given: Partial<typeof quality.flags>) {
  return (await quality.run({ ...quality.flags, ...place, ...given }, [], () => {}))!;
}

const shapes = ['redllm', 'decllm', 'decllmBiattn'] as const;

describe('perplexity', () => {
  it('is the vocabulary of a model that knows nothing', async t => {
    const models = (['redllm', 'decllm', 't5v10'] as const).map(name => {
      const edit = (tensors: Parameters<NonNullable<Parameters<typeof writeCheckpoint>[1]['edit']>>[0]) => {
        for (const { bytes } of tensors.values()) bytes.fill(0);
      };
      return `${name}=${writeCheckpoint(t, { config: tinyConfigs[name], edit })}`;
    });
    const given = { model: models.join(','), tokens: idsFile(t), prefixes: '1,8', lengths: '9,16,32' };
    const { cells } = await measure(given);
    assert.ok(cells.length > 18);
    for (const { figures } of cells)
      for (const value of figures.perplexity!.repetitions) assert.ok(Math.abs(value - 48) < 1e-3, `${value}`);
  });

  for (const name of shapes)
    it(`is that of the logits, token by token: ${name}`, async t => {
      const directory = writeCheckpoint(t, { config: tinyConfigs[name] });
      const given = { model: `m=${directory}`, tokens: idsFile(t), prefixes: '9', lengths: '14', windows: 2, bin: 3 };
      const { cells, more } = await measure(given);
      const direct = await DirectModel.load(directory, 'float32');
      t.after(() => direct.free());
      const logprobs = spread(ids, 14, 2).map(window => directLogprobs(direct, window, 9));
      const perplexity = (all: readonly number[]) => Math.exp(-all.reduce((a, b) => a + b) / all.length);
      const close = (found: readonly number[], expected: readonly number[]) => {
        assert.equal(found.length, expected.length);
        for (const [i, value] of found.entries())
          assert.ok(Math.abs(value / expected[i]! - 1) < 1e-4, `${value}, expected ${expected[i]}`);
      };
      const [whole, ...bins] = cells;
      assert.deepEqual(whole!.labels, { model: 'm', prefix: 9, length: 14 });
      close(whole!.figures.perplexity!.repetitions, logprobs.map(perplexity));
      assert.deepEqual(
        bins.map(({ labels }) => labels.position),
        [9, 12],
      );
      for (const { labels, figures } of bins) {
        const first = Number(labels.position) - 9;
        const expected = logprobs.map(all => perplexity(all.slice(first, first + 3)));
        close(figures.perplexity!.repetitions, expected);
      }
      const pooled = more!.pooled as Pooled[];
      close([pooled[0]!.perplexity], [perplexity(logprobs.flat())]);
      assert.equal(pooled[0]!.tokens, 10);
    });

  it('of a length is that of the same tokens within a greater one', async t => {
    const model = writeCheckpoint(t, { config: tinyConfigs.redllm });
    const given = { model, tokens: idsFile(t, ids.slice(0, 40)), prefixes: '4' };
    const both = await measure({ ...given, lengths: '20,40' });
    const short = await measure({ ...given, tokens: idsFile(t, ids.slice(0, 20)), lengths: '20' });
    assert.deepEqual(both.cells[0], short.cells[0]);
  });

  it('leaves out what model or text have no room for, and says so', async t => {
    const model = writeCheckpoint(t, { config: tinyConfigs.bart });
    const said: string[] = [];
    const given = { model: `bart=${model}`, tokens: idsFile(t), prefixes: '1,20,40', lengths: '16,32,50,64,200' };
    const { cells } = (await quality.run({ ...quality.flags, ...place, ...given }, [], line => said.push(line)))!;
    const found = cells.filter(({ labels }) => 'length' in labels).map(({ labels: l }) => [l.prefix, l.length]);
    assert.deepEqual(found, [
      [1, 16],
      [1, 32],
      [20, 32],
      [20, 50],
    ]);
    assert.ok(said.includes('bart, prefix 20: 64, 200 left out; model and text allow 51'), said.join('\n'));
  });

  it('tokenises text as the checkpoint does, and lets it begin as its tokenizer lets it', async t => {
    const directory = writeCheckpoint(t, { config: { ...tinyConfigs.llama, vocab_size: 400 } });
    writeJson(directory, 'tokenizer.json', tokenizerKinds.byteFallback);
    const text = join(directory, 'text.txt');
    writeFileSync(text, 'hello a hello');
    // Its tokens as ids, between 1, the start token, and whatever follows.
    const direct = await DirectModel.load(directory, 'float32');
    t.after(() => direct.free());
    const tokens = smallTokenizer('byteFallback').encode('hello a hello', { addSpecialTokens: false });
    const { cells } = await measure({ model: directory, text, prefixes: '2', lengths: '8', windows: 1 });
    const expected = directLogprobs(direct, tokens.slice(0, 8), 2, 1).reduce((sum, logprob) => sum + logprob, 0);
    const { repetitions } = cells[0]!.figures.perplexity!;
    assert.ok(Math.abs(repetitions[0]! / Math.exp(-expected / 6) - 1) < 1e-4, `${repetitions}`);
  });

  it('makes a record that is read', async t => {
    const directory = writeCheckpoint(t, { config: tinyConfigs.decllm });
    const given = { ...quality.flags, ...place, model: directory, tokens: idsFile(t), prefixes: '1', lengths: '16' };
    const measured = (await quality.run(given, [], () => {}))!;
    const path = join(directory, 'out.json');
    writeRecord(path, recordOf('quality', { started: new Date(), flags: given, measured }));
    const { cells, more } = readRecord(path);
    assert.equal(cells.length, measured.cells.length);
    assert.match((more!.text as { sha256: string }).sha256, /^[0-9a-f]{64}$/);
  });
});

describe('what is refused, by its flag', () => {
  const cases: [what: string, given: Partial<typeof quality.flags>, said: RegExp][] = [
    ['no model', { model: '' }, /^--model must be given/],
    ['a model that is not there', { model: 'nowhere' }, /^--model nowhere: There is no checkpoint/],
    ['an unknown task', { task: 'taste' }, /^--task must be perplexity, accuracy, phonemes, locality, not 'taste'/],
    ['lengths that are none', { lengths: '12,x' }, /^--lengths must be whole numbers/],
    ['a prefix of nothing', { prefixes: '0' }, /^--prefixes must be whole numbers/],
    ['half a window', { windows: 0.5 }, /^--windows must be a whole number/],
    ['a type that there is not', { dtype: 'float8' }, /^--dtype must be/],
    ['no text', { tokens: '' }, /^Either --text or --tokens/],
    ['text without a tokenizer', { tokens: '', text: 'package.json' }, /^--text needs a tokenizer/],
    ['a file that is not there', { tokens: 'nowhere.txt' }, /^--tokens nowhere.txt cannot be read/],
    ['no length that fits', { lengths: '500' }, /^None of --prefixes and --lengths fit m/],
  ];
  for (const [what, given, said] of cases)
    it(what, async t => {
      const model = `m=${writeCheckpoint(t, { config: tinyConfigs.decllm })}`;
      await assert.rejects(measure({ model, tokens: idsFile(t), ...given }), ({ message }) => said.test(message));
    });

  it('an id beyond the vocabulary', async t => {
    const model = writeCheckpoint(t, { config: tinyConfigs.decllm });
    await assert.rejects(measure({ model, tokens: idsFile(t, [3, 48]) }), /--tokens .* holds '48', but .* 0 to 47/);
  });
});

/** Log-probability of each token behind the prefix, from one row of logits each. */
function directLogprobs(direct: DirectModel, window: readonly number[], prefix: number, first?: number): number[] {
  const { spec, defaults } = direct.description;
  return window.slice(prefix).map((token, i) => {
    const behind = window.slice(prefix, prefix + i);
    const start = spec.encoder ? [defaults.startToken!] : [first ?? defaults.promptStart!, ...window.slice(0, prefix)];
    const prompt = [...start, ...behind];
    const source = spec.encoder ? window.slice(0, prefix) : null;
    const logits = direct.greedy(source, prompt, 1, { prefix: start.length }).logits[0]!;
    const top = Math.max(...logits);
    return logits[token]! - top - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
  });
}
