/** Answers against references: what is counted as right, what is measured beside it, and what is refused. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { recordOf, writeRecord } from '../bench/command.ts';
import { accuracies } from '../bench/quality/accuracy.ts';
import { type Answer, type Fit, fitOf } from '../bench/quality/answers.ts';
import { quality } from '../bench/quality/quality.ts';
import { readReferences } from '../bench/quality/references.ts';
import { readRecord } from '../bench/record.ts';
import { Generator } from '../src/generate.ts';
import { type Cleanup, temporaryDirectory, tinyConfigs, writeCheckpoint } from './fixtures/checkpoint.ts';
import { ScriptedEngine, servedModel } from './fixtures/scripted-engine.ts';
import { smallTokenizer } from './fixtures/tokenizers.ts';
import { sharedPath, skipWithout, testDevice } from './shared.ts';

const place = {
  task: 'accuracy',
  device: testDevice.device,
  'cuda-library': testDevice.cudaLibrary ?? '',
  threads: 1,
  'kv-memory': '64MiB',
};

type Item = { readonly prompt: unknown; readonly references: readonly unknown[] };

function jsonLines(t: Cleanup, items: readonly unknown[]): string {
  const path = join(temporaryDirectory(t), 'references.jsonl');
  writeFileSync(path, items.map(item => `${typeof item === 'string' ? item : JSON.stringify(item)}\n`).join(''));
  return path;
}

async function measure(t: Cleanup, items: readonly Item[], given: Partial<typeof quality.flags>) {
  const all = { ...quality.flags, ...place, concurrency: '1,3', references: jsonLines(t, items), ...given };
  const measured = (await quality.run(all, [], () => {}))!;
  return { measured, record: recordOf('quality', { started: new Date(), flags: all, measured }) };
}

describe('accuracy', () => {
  it('knows right answers from wrong ones, by tokens', async t => {
    const model = `m=${writeCheckpoint(t, { config: tinyConfigs.redllm })}`;
    const prompts = [
      [5, 6, 7],
      [9, 30, 31, 32],
      [40, 3],
    ];
    const asked = prompts.map(prompt => ({ prompt, references: [[3]] }));
    const { measured: first } = await measure(t, asked, { model, 'max-tokens': 6, repetitions: 1 });
    const { m: answers } = first.more!.answers as Record<string, Fit['each']>;
    const own = answers!.map(({ answer }) => answer as readonly number[]);
    const items = prompts.map((prompt, i) => ({ prompt, references: [[1, 2, 3, 4, 5, 6, 7, 8, 9], own[i]!] }));
    items[2] = { prompt: prompts[2]!, references: [own[2]!.with(1, own[2]![1] === 4 ? 5 : 4)] };
    const { measured } = await measure(t, items, { model, 'max-tokens': 6, repetitions: 2 });
    assert.equal(measured.cells.length, 2);
    const tokens = own.reduce((sum, { length }) => sum + length, 0);
    for (const { figures } of measured.cells) {
      assert.deepEqual(figures.exact_match!.repetitions, [2 / 3, 2 / 3]);
      assert.deepEqual(figures.edit_distance!.repetitions, [1 / tokens, 1 / tokens]);
      assert.equal(figures.seconds_per_item!.repetitions.length, 6);
      assert.equal(figures.tokens_per_second!.repetitions.length, 2);
      assert.equal(figures.bleu, undefined, 'there is no text');
    }
    assert.deepEqual(measured.disturbed, [], 'company changes no answer');
  });

  it('holds texts to BLEU and chrF, too, and both sides to one tokenizer', async () => {
    const model = servedModel({ tokenizer: smallTokenizer('byteFallback'), encoder: true });
    const generator = new Generator(new ScriptedEngine([]), [model]);
    const references = [['hello world, all of you'], ['a', 'an apple or two']];
    const items = references.map(each => ({ prompt: 'x', references: each }));
    const fit = (texts: readonly string[]) =>
      fitOf(
        generator,
        model,
        items,
        texts.map((text): Answer => ({ text, tokens: [9, 9, 2], seconds: 1 })),
      );
    const right = await fit([' hello world, all of you\n', 'an apple or two']);
    assert.deepEqual([right.exact, right.edits], [1, 0]);
    assert.ok(Math.abs(right.bleu! - 100) < 1e-9 && Math.abs(right.chrf! - 100) < 1e-9);
    const wrong = await fit(['hello world, all of you', 'an apple or twa']);
    assert.deepEqual([wrong.exact, wrong.each.map(({ edits }) => edits)], [0.5, [0, 1]]);
    assert.ok(wrong.bleu! < 100 && wrong.chrf! < 100);
    await generator.close();
  });

  it('asks once before it measures, and lets no run find what another has computed', async () => {
    const engine = new ScriptedEngine([{ tokens: [7, 2], finish: 'stop', cachedTokens: 0, queueTime: 0 }]);
    const model = servedModel({ encoder: true });
    const generator = new Generator(engine, [model]);
    const items = [{ prompt: [5], references: [[7]] }];
    const plan = { items, beams: 1, maxTokens: 3, concurrencies: [1, 2], repetitions: 2 };
    const { cells } = await accuracies(generator, [model], plan, () => {});
    await generator.close();
    assert.deepEqual(cells[0]!.figures.exact_match!.repetitions, [1, 1]);
    assert.equal(engine.submitted.length, 1 + 2 * 2);
    assert.equal(new Set(engine.submitted.map(({ cacheSalt }) => cacheSalt)).size, 5);
  });

  it('puts models side by side in a record that is read', async t => {
    const names = ['redllm', 'decllm', 't5v10'] as const;
    const model = names.map(name => `${name}=${writeCheckpoint(t, { config: tinyConfigs[name] })}`).join(',');
    const items = [{ prompt: [5, 6, 7], references: [[8, 9]] }];
    const { record } = await measure(t, items, { model, beams: 3, 'max-tokens': 4, repetitions: 2 });
    const path = jsonLines(t, []);
    writeRecord(path, record);
    const { cells, ratios } = readRecord(path);
    assert.deepEqual(new Set(cells.map(({ labels }) => labels.model)), new Set(names));
    assert.deepEqual(
      new Set(ratios.map(({ above, below }) => `${above}/${below}`)),
      new Set(['redllm/decllm', 'redllm/t5v10']),
    );
    assert.ok(cells.every(({ labels }) => labels.beams === 3));
  });

  it('finds the golden words of a trained model', { skip: skipWithout('models', 'g2p-bart-us') }, async t => {
    const directory = sharedPath('models', 'g2p-bart-us')!;
    const golden = JSON.parse(readFileSync(join(directory, 'golden.json'), 'utf8')) as {
      readonly word: string;
      readonly greedy: readonly number[];
      readonly beam4: readonly number[];
    }[];
    for (const [beams, answer] of [[1, 'greedy'] as const, [4, 'beam4'] as const]) {
      // What is generated stands behind the start token.
      const items = golden.slice(0, 30).map(each => ({ prompt: each.word, references: [each[answer].slice(1)] }));
      const { measured } = await measure(t, items, { model: `m=${directory}`, beams, repetitions: 1 });
      for (const { figures } of measured.cells) assert.deepEqual(figures.exact_match!.repetitions, [1], answer);
    }
  });
});

describe('what is refused, by its flag', () => {
  const lines: [what: string, lines: readonly unknown[], said: RegExp][] = [
    ['no line', [], /^--references .* has no line/],
    ['no JSON', [{ prompt: 'a', references: ['b'] }, '{'], /line 2 is no JSON/],
    ['no reference', [{ prompt: 'a', references: [] }], /line 1: references must not be empty/],
    ['a prompt that is none', [{ prompt: 7, references: ['b'] }], /line 1: prompt must be text or an array/],
    ['a field of another name', [{ prompt: 'a', references: ['b'], answer: 'b' }], /line 1: .*answer/],
    ['two kinds in a line', [{ prompt: 'a', references: ['b', [1]] }], /line 1: references must be all texts/],
    [
      'two kinds in a file',
      [
        { prompt: 'a', references: ['b'] },
        { prompt: 'a', references: [[1]] },
      ],
      /in others/,
    ],
  ];
  for (const [what, all, said] of lines)
    it(what, t =>
      assert.throws(
        () => readReferences(jsonLines(t, all)),
        ({ message }) => said.test(message),
      ),
    );

  const flags: [what: string, given: Partial<typeof quality.flags>, said: RegExp][] = [
    ['no references', { references: '' }, /^--references must be given/],
    ['no beams', { beams: 0 }, /^--beams must be a whole number from 1/],
    ['a concurrency that is none', { concurrency: '1,' }, /^--concurrency must be whole numbers/],
    ['no repetitions', { repetitions: 0 }, /^--repetitions must be/],
    ['texts without a tokenizer', {}, /^--references has texts, but m has no tokenizer/],
  ];
  for (const [what, given, said] of flags)
    it(what, async t => {
      const model = `m=${writeCheckpoint(t, { config: tinyConfigs.decllm })}`;
      const items = [{ prompt: [1, 2], references: ['text'] }];
      await assert.rejects(measure(t, items, { model, 'max-tokens': 2, ...given }), ({ message }) =>
        said.test(message),
      );
    });
});
