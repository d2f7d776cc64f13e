/** Models are loaded in chunks beside those that run; one that fails harms nobody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, FakeEngine, fakeModel, submission } from './fixtures/fake-engine.ts';

test('loading reports its progress and lets running requests go on between chunks', async () => {
  const { engine, runtime } = await FakeEngine.start();
  const stream = engine.submit(submission(50));
  await stream.next();
  let launches = 0;
  runtime.models[0]!.onLaunch = () => launches++;
  const progress: number[] = [];
  const launched: number[] = [];
  const { pages, footprint } = await engine.load(fakeModel('late'), done => {
    progress.push(done);
    launched.push(launches);
  });
  assert.deepEqual(progress, [1, 2, 3]);
  assert(launched[2]! > launched[0]!, 'no step between the chunks');
  assert.equal(pages, 400);
  assert.equal(footprint.groups.length, 2);
  assert.deepEqual((await collect(engine.submit(submission(5, { model: 'late' })))).finishes, ['length']);
  assert.deepEqual((await collect(stream)).finishes, ['length']);
  await engine.close();
});

test('a model that fails to load says why, and its name is free again', async () => {
  const { engine, runtime } = await FakeEngine.start();
  runtime.loadError = new Error('the file ends early');
  await assert.rejects(engine.load(fakeModel('bad')), {
    code: 'invalid_checkpoint',
    message: "The model 'bad' could not be loaded: the file ends early",
  });
  assert(runtime.models[1]!.freed);
  runtime.loadError = null;
  await engine.load(fakeModel('bad'));
  assert.deepEqual((await collect(engine.submit(submission(5)))).finishes, ['length']);
  await engine.close();
});

test('two models of one name are refused', async () => {
  const { engine } = await FakeEngine.start();
  await assert.rejects(engine.load(fakeModel('m')), { code: 'invalid_config' });
  await engine.close();
});
