/** no_repeat_ngram_size: what the index bans is what the definition bans, however the tokens come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NgramBans } from '../src/engine/ngram-bans.ts';
import { NgramIndex } from '../src/engine/ngram-index.ts';
import type { SubmitMessage } from '../src/engine/protocol.ts';
import { Request, type Sequence } from '../src/engine/sequence.ts';
import { collect, FakeEngine, greedy, submission } from './fixtures/fake-engine.ts';
import { repeats } from './fixtures/fake-oracle.ts';

const token = fc.nat({ max: 3 });
const tokens = fc.array(token, { maxLength: 60 });
const size = fc.integer({ min: 1, max: 5 });
const sorted = (ids: Iterable<number>) => [...ids].sort((a, b) => a - b);
const wanted = (all: readonly number[], of: number) => sorted(new Set(repeats(all, of)));

test('an index bans after every token what the definition bans, none twice', () => {
  fc.assert(
    fc.property(size, tokens, tokens, (of, prompt, answer) => {
      const before = new NgramIndex(of);
      for (const each of prompt) before.push(each);
      const index = new NgramIndex(of, before);
      const sibling = new NgramIndex(of, before);
      for (let i = 0; i <= answer.length; i++) {
        assert.deepEqual(sorted(index.banned()), wanted([...prompt, ...answer.slice(0, i)], of));
        if (i < answer.length) index.push(answer[i]!);
      }
      assert.deepEqual(sorted(sibling.banned()), wanted(prompt, of), 'the prompt is shared, the answers are not');
    }),
  );
});

function sequenceOf(of: number, prompt: readonly number[], beam: boolean): Sequence {
  const beams = beam ? { width: 2, lengthPenalty: 1, earlyStopping: false, patience: null } : null;
  const { source, ...rest } = submission(99, { params: { ...greedy, noRepeatNgram: of, beam: beams } });
  const message: SubmitMessage = { ...rest, source, prompt: Int32Array.from(prompt), type: 'submit', id: 1 };
  return new Request(message, { key: 0, id: 1 }, 0).sequences[0]!;
}

test('a beam that goes on from another one, and an answer that grew by many tokens, have their own bans', () => {
  fc.assert(
    fc.property(size, tokens, fc.array(tokens, { minLength: 1, maxLength: 6 }), (of, prompt, answers) => {
      const sequence = sequenceOf(of, [...prompt, 0], true);
      const bans = new NgramBans();
      for (const answer of answers) {
        sequence.generated.splice(0, Number.POSITIVE_INFINITY, ...answer);
        assert.deepEqual(sorted(bans.of(sequence)), wanted([...prompt, 0, ...answer], of));
      }
    }),
  );
});

test('a long prompt of one token, and one with an endless number of continuations, cost no more than their length', () => {
  const length = 100_000;
  for (const prompt of [
    new Array<number>(length).fill(7),
    Array.from({ length }, (_, i) => (i % 2 === 0 ? 7 : i)),
    Array.from({ length }, (_, i) => i % 5),
  ]) {
    const sequence = sequenceOf(3, [...prompt, 7], false);
    const bans = new NgramBans();
    for (let i = 0; i < 1000; i++) {
      assert.ok([...bans.of(sequence)].length <= length);
      sequence.generated.push(i % 9);
    }
  }
});

test('an answer never has a sequence of so many tokens twice, the prompt counted', async () => {
  const { engine } = await FakeEngine.start();
  for (const noRepeatNgram of [1, 2, 3]) {
    const prompt = Int32Array.of(0, 4, 5, 4, 6);
    const params = { ...greedy, noRepeatNgram, temperature: 0.05 };
    const { tokens: answers } = await collect(engine.submit(submission(20, { prompt, params, n: 2 })));
    for (const answer of answers) {
      const all = [...prompt, ...answer];
      const seen = all.slice(0, all.length - noRepeatNgram + 1).map((_, i) => all.slice(i, i + noRepeatNgram).join());
      const old = new Set(seen.slice(0, Math.max(0, prompt.length - noRepeatNgram + 1)));
      for (const gram of seen.slice(Math.max(0, prompt.length - noRepeatNgram + 1))) {
        assert.ok(!old.has(gram), `${gram} in ${all}`);
        old.add(gram);
      }
    }
  }
  await engine.close();
});
