/** Rows of a step by kind: a token's own place in its sequence decides, whatever happens to the request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, FakeEngine, fakeModel, submission } from './fixtures/fake-engine.ts';
import type { FakeRow } from './fixtures/fake-model.ts';
import type { FakeShape } from './fixtures/fake-spec.ts';
import { fakePageBytes } from './fixtures/fake-spec.ts';

/** All rows that ran while `prompts` were answered by so many tokens each. */
async function rowsOf(shape: Partial<FakeShape>, prompts: readonly number[], maxTokens: number, pages = 400) {
  const fake = await FakeEngine.start({ kvMemory: pages * fakePageBytes }, [fakeModel('m', shape)]);
  const native = fake.runtime.models[0]!;
  const rows: FakeRow[] = [];
  native.onLaunch = () => rows.push(...native.lastStep.rows);
  const source = shape.encoder === false ? null : Int32Array.of(3, 1, 4);
  const answers = await Promise.all(
    prompts.map((length, i) => {
      const prompt = Int32Array.from({ length }, (_, k) => 2 + ((k + 7 * i) % 20));
      return collect(fake.engine.submit(submission(maxTokens, { source, prompt })));
    }),
  );
  for (const { tokens } of answers) assert.equal(tokens[0]!.length, maxTokens);
  const [stats] = await fake.engine.stats();
  await fake.engine.close();
  rows.push(...native.lastStep.rows);
  return { rows, preemptions: stats!.preemptions };
}

test('a start token and a short prompt are decoded, with what follows them', async () => {
  for (const length of [1, 8]) {
    const { rows } = await rowsOf({}, [length], 3);
    assert.deepEqual(
      rows.map(({ kind, count }) => `${kind} ${count}`),
      [`decode ${length}`, 'decode 1', 'decode 1'],
    );
  }
});

test('a longer prompt is prefilled, and a prefix-LM prompt of any length', async () => {
  for (const [mask, length] of [
    ['causal', 9],
    ['prefix', 3],
  ] as const) {
    const { rows } = await rowsOf({ encoder: false, mask }, [length], 3);
    assert.deepEqual(
      rows.map(({ kind, count }) => `${kind} ${count}`),
      [`prefill ${length}`, 'decode 1', 'decode 1'],
    );
  }
});

test('what was generated is decoded also where it is computed anew, apart from the prompt', async () => {
  const prompt = 10;
  const { rows, preemptions } = await rowsOf({ encoder: false }, [prompt, prompt, prompt], 20, 14);
  assert(preemptions > 0);
  for (const { kind, index, count, sampled } of rows) {
    if (kind === 'decode') assert(index >= prompt);
    else assert(index + count <= prompt && (!sampled || index + count === prompt));
  }
  assert(rows.some(({ kind, count }) => kind === 'decode' && count > 1));
  assert(rows.some(({ kind, index, count, sampled }) => kind === 'prefill' && index + count === prompt && !sampled));
});
