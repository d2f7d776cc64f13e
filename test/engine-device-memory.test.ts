/** A device's memory is measured: each model gets its share of what is free when its weights are there, and no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, FakeEngine, fakeModel, submission } from './fixtures/fake-engine.ts';
import { FakeRuntime } from './fixtures/fake-runtime.ts';
import { fakePageBytes } from './fixtures/fake-spec.ts';

function device(pages: number): FakeRuntime {
  const runtime = new FakeRuntime();
  runtime.deviceBytes = pages * fakePageBytes;
  return runtime;
}

const start = (runtime: FakeRuntime, kvMemory: number | null, models = [fakeModel('m')]) =>
  FakeEngine.start({ kvMemory }, models, undefined, runtime);

test('without a setting a model gets nine tenths of what is free', async () => {
  const { engine, loop } = await start(device(1000), null);
  assert.equal(engine.models.get('m')!.pages, 900);
  assert.deepEqual((await collect(engine.submit(submission(599)))).finishes, ['length']);
  loop.checkIdle();
  await engine.close();
});

test('the setting is an upper limit', async () => {
  const { engine } = await start(device(1000), 300 * fakePageBytes);
  assert.equal(engine.models.get('m')!.pages, 300);
  await engine.close();
});

test('models that load together share what is free, and none takes another’s pages', async () => {
  const { engine, loop } = await start(device(2000), null, []);
  const loaded = await Promise.all(['a', 'b'].map(name => engine.load(fakeModel(name))));
  assert.deepEqual(
    loaded.map(({ pages }) => pages),
    [900, 990],
  );
  // Far more than one pool holds, so that both caches must give way, each within its own pool.
  const streams = [];
  for (let i = 0; i < 12; i++)
    for (const model of ['a', 'b'])
      streams.push(collect(engine.submit(submission(590, { model, prompt: Int32Array.of(i), cacheSalt: `${i}` }))));
  for (const { finishes } of await Promise.all(streams)) assert.deepEqual(finishes, ['length']);
  loop.checkIdle();
  await engine.close();
});

test('too few pages for the longest request is a sentence that names the setting', async () => {
  const runtime = device(150);
  await assert.rejects(start(runtime, null), {
    code: 'invalid_config',
    param: 'kv-memory',
    message:
      /^Model 'm' needs .* for the keys and values of its longest request, but there are .* free on fake, and kv-memory is not set\..*max-model-len/,
  });
  assert(runtime.models[0]!.freed);
});

test('weights that do not fit are refused with both figures, and another model loads after them', async () => {
  const runtime = device(1000);
  const { engine } = await start(runtime, null, []);
  const footprint = runtime.footprint.bind(runtime);
  runtime.footprint = (...parts) => ({ ...footprint(...parts), weightBytes: 5 * 2 ** 20 });
  await assert.rejects(engine.load(fakeModel('large')), {
    code: 'invalid_config',
    message: /^Model 'large' has 5\.0 MiB of weights, but 1\.0 MiB of 1\.0 MiB are free on fake\.$/,
  });
  runtime.footprint = footprint;
  const load = runtime.load.bind(runtime);
  runtime.load = () => {
    throw new Error('out of memory');
  };
  await assert.rejects(engine.load(fakeModel('wide')), {
    code: 'invalid_config',
    message: /^Model 'wide' has 3 bytes of weights and the scratch .* 1\.0 MiB .* max-batch-tokens/,
  });
  runtime.load = load;
  assert.equal((await engine.load(fakeModel('m'))).pages, 900);
  await engine.close();
});

test('a device that fails while a model loads ends the engine', async () => {
  const runtime = device(1000);
  const { engine } = await start(runtime, null);
  runtime.deviceError = new Error('CUDA device 0 failed at waiting for a step: an illegal memory access');
  await assert.rejects(engine.load(fakeModel('late')), { code: 'engine_dead' });
  assert.match((await engine.died).message, /illegal memory access/);
});
