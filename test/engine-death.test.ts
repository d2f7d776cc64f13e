/** What native code throws kills the engine, and everybody hears of it; a close ends it in order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collect, FakeEngine, fakeModel, submission } from './fixtures/fake-engine.ts';

test('a throw in a step fails every request with engine_dead, and later ones at once', async () => {
  const { engine, runtime } = await FakeEngine.start({}, [fakeModel('m'), fakeModel('other')]);
  const streams = [submission(500), submission(500, { model: 'other' })].map(each => engine.submit(each));
  for (const stream of streams) await stream.next();
  runtime.models[0]!.launchError = new Error('out of memory');
  for (const stream of streams) await assert.rejects(collect(stream), { code: 'engine_dead' });
  assert.match((await engine.died).message, /out of memory/);
  assert.equal(engine.dead?.code, 'engine_dead');
  assert.throws(() => engine.submit(submission(5)), { code: 'engine_dead', status: 503 });
  await assert.rejects(engine.stats(), { code: 'engine_dead' });
  await engine.close();
});

test('events that came before a failure are still read', async () => {
  const { engine, runtime } = await FakeEngine.start();
  const stream = engine.submit(submission(500));
  let launches = 0;
  runtime.models[0]!.onLaunch = () => {
    if (++launches > 4) throw new Error('out of memory');
  };
  await engine.died;
  const tokens: number[] = [];
  await assert.rejects(
    async () => {
      for await (const event of stream) tokens.push(...event.tokens);
    },
    { code: 'engine_dead' },
  );
  assert.equal(tokens.length, 4);
});

test('close fails what is open with draining, and releases the models and the runtime', async () => {
  const { engine, runtime } = await FakeEngine.start();
  const stream = engine.submit(submission(500));
  await stream.next();
  await engine.close();
  await assert.rejects(collect(stream), { code: 'draining' });
  assert.throws(() => engine.submit(submission(5)), { code: 'draining' });
  assert(runtime.freed && runtime.models.every(model => model.freed));
  assert.equal(engine.dead, null);
});
