/** Greedy tokens, logits and encoder states of every family against goldens: the NumPy reference's, and transformers'. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { loadAddon } from '../src/native.ts';
import { DirectModel, type DirectResult } from './fixtures/direct.ts';
import { sharedPath } from './shared.ts';

const isas = loadAddon()
  .devices()
  .filter(device => device.available)
  .map(device => device.name.replace('cpu ', ''));

interface ReferenceCase {
  source: number[];
  tokens: number[];
  first_logits: number[];
  last_logits: number[];
  encoder_first_row?: number[];
  encoder_last_row?: number[];
}

interface TransformersRun {
  tokens: number[][];
  first_top5: number[][];
  first_top5_logits: number[][];
}

interface TransformersCase {
  input_ids: number[][];
  fp32: TransformersRun;
  bf16: TransformersRun;
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
    for (const isa of isas) {
      it(`gives its tokens, logits and encoder rows in float32 on ${isa}`, async () => {
        const model = await DirectModel.load(directory!, 'float32', isa);
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
    for (const isa of isas) {
      it(`gives its tokens and first logits in float32 on ${isa}`, async () => {
        const model = await DirectModel.load(directory!, 'float32', isa);
        for (const { label, result, golden, row } of runs(model, directory!, 32)) {
          assert.deepEqual(result.tokens, golden.fp32.tokens[row], label);
          const first = golden.fp32.first_top5[row]!.map(token => result.logits[0]![token]!);
          assert.ok(deviation(first, golden.fp32.first_top5_logits[row]!) < 1e-4, label);
        }
        model.free();
      });

      it(`is off by at most twice what transformers' own bfloat16 is, on ${isa}`, async () => {
        const model = await DirectModel.load(directory!, 'bfloat16', isa);
        let ours = 0;
        let theirs = 0;
        for (const { result, golden, row } of runs(model, directory!, 1)) {
          golden.fp32.first_top5[row]!.forEach((token, i) => {
            const exact = golden.fp32.first_top5_logits[row]![i]!;
            ours = Math.max(ours, Math.abs(result.logits[0]![token]! - exact));
            const place = golden.bf16.first_top5[row]!.indexOf(token);
            if (place >= 0) theirs = Math.max(theirs, Math.abs(golden.bf16.first_top5_logits[row]![place]! - exact));
          });
        }
        assert.ok(ours > 0 && ours <= 2 * theirs, `ours ${ours}, theirs ${theirs}`);
        model.free();
      });
    }
  });
}

/** Every row of every case as a request of its own: the goldens' padded batches are ragged here. */
function* runs(model: DirectModel, directory: string, steps: number) {
  const { spec, defaults } = model.description;
  for (const [label, golden] of Object.entries(goldenOf<TransformersCase>(directory))) {
    for (let row = 0; row < golden.input_ids.length; row++) {
      const source = golden.input_ids[row]!;
      const result = spec.encoder ? model.greedy(source, [defaults.startToken!], steps) : model.greedy(null, source, steps);
      yield { label: `${label} ${row}`, result, golden, row };
    }
  }
}
