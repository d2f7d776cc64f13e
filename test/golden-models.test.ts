/** Greedy tokens, logits and encoder states of every family against goldens: the NumPy reference's, and transformers'. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { DirectModel, type DirectResult } from './fixtures/direct.ts';
import { readNpz } from './fixtures/npz.ts';
import { places, sharedPath } from './shared.ts';

interface ReferenceCase {
  source: number[];
  tokens: number[];
  first_logits: number[];
  last_logits: number[];
  encoder_first_row?: number[];
  encoder_last_row?: number[];
}

interface TransformersCase {
  input_ids: number[][];
  fp32: { tokens: number[][] };
}

function goldenOf<Case>(directory: string): Record<string, Case> {
  return JSON.parse(readFileSync(`${directory}/golden.json`, 'utf8')).cases;
}

/** Greatest |actual - expected| over greatest |expected|. */
function deviation(actual: ArrayLike<number>, expected: readonly number[]): number {
  const largest = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value))) / largest;
}

for (const name of ['redllm-tiny', 'decllm-tiny', 'decllm-biattn-tiny']) {
  const directory = sharedPath('models', 'tiny', name);
  describe(`${name} against the float64 reference`, { skip: directory ? false : 'no golden models here' }, () => {
    for (const place of places()) {
      it(`gives its tokens, logits and encoder rows in float32 on ${place.name}`, async () => {
        const model = await DirectModel.load(directory!, 'float32', place.options);
        const bos = model.description.defaults.startToken ?? model.description.defaults.promptStart!;
        for (const [label, golden] of Object.entries(goldenOf<ReferenceCase>(directory!))) {
          const encodes = model.description.spec.encoder !== undefined;
          const result = encodes
            ? model.greedy(golden.source, [bos], golden.tokens.length)
            : model.greedy(null, [bos, ...golden.source], golden.tokens.length);
          assert.deepEqual(result.tokens, golden.tokens, label);
          assert.ok(deviation(result.logits[0]!, golden.first_logits) < 1e-4, `${label}: first logits`);
          assert.ok(deviation(result.logits.at(-1)!, golden.last_logits) < 1e-4, `${label}: last logits`);
          if (golden.encoder_first_row) checkEncoder(result, golden);
        }
        model.free();
      });
    }
  });
}

function checkEncoder(result: DirectResult, golden: ReferenceCase): void {
  const width = golden.encoder_first_row!.length;
  assert.equal(result.encoder.length, golden.source.length * width);
  assert.ok(deviation(result.encoder, golden.encoder_first_row!) < 1e-4);
  assert.ok(deviation(result.encoder.subarray(-width), golden.encoder_last_row!) < 1e-4);
}

for (const name of ['t5-tiny', 't5v10-tiny', 'bart-tiny', 'llama-tiny']) {
  const directory = sharedPath('models', 'tiny', name);
  describe(`${name} against transformers`, { skip: directory ? false : 'no golden models here' }, () => {
    for (const place of places()) {
      it(`gives its tokens, logits and encoder rows in float32 on ${place.name}`, async () => {
        const model = await DirectModel.load(directory!, 'float32', place.options);
        for (const { label, source, tokens, array } of goldenRows(directory!)) {
          const result = generate(model, source, tokens.length);
          assert.deepEqual(result.tokens, tokens, label);
          assert.ok(deviation(result.logits[0]!, array('fp32.first_logits')) < 1e-4, `${label}: first logits`);
          assert.ok(deviation(result.logits.at(-1)!, array('fp32.last_logits_head')) < 1e-4, `${label}: last logits`);
          if (!model.description.spec.encoder) continue;
          const width = model.description.spec.encoder.width;
          const corner = Array.from({ length: 8 }, (_, token) => [
            ...result.encoder.subarray(token * width, token * width + 16),
          ]);
          assert.ok(deviation(corner.flat(), array('fp32.enc_head')) < 1e-4, `${label}: encoder rows`);
        }
        model.free();
      });

      it(`is off by at most twice what transformers' own bfloat16 is, on ${place.name}`, async () => {
        const model = await DirectModel.load(directory!, 'bfloat16', place.options);
        for (const { label, source, array } of goldenRows(directory!)) {
          const exact = array('fp32.first_logits');
          const ours = deviation(generate(model, source, 1).logits[0]!, exact);
          const theirs = deviation(array('bf16.first_logits'), exact);
          assert.ok(ours > 0 && ours <= 2 * theirs, `${label}: ours ${ours}, theirs ${theirs}`);
        }
        model.free();
      });
    }
  });
}

function generate(model: DirectModel, source: readonly number[], steps: number): DirectResult {
  const { spec, defaults } = model.description;
  return spec.encoder ? model.greedy(source, [defaults.startToken!], steps) : model.greedy(null, source, steps);
}

/** Every row of every case as a request of its own: the goldens' padded batches are ragged here. */
function* goldenRows(directory: string) {
  const arrays = readNpz(`${directory}/golden.npz`);
  for (const [name, golden] of Object.entries(goldenOf<TransformersCase>(directory))) {
    for (let row = 0; row < golden.input_ids.length; row++) {
      const array = (key: string) => {
        const { shape, values } = arrays.get(`${name}.${key}`)!;
        const size = values.length / shape[0]!;
        return values.slice(row * size, (row + 1) * size);
      };
      yield { label: `${name} ${row}`, source: golden.input_ids[row]!, tokens: golden.fp32.tokens[row]!, array };
    }
  }
}
