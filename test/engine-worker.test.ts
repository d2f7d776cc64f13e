/** The loop in its Worker: messages reach it busy and idle, and its end, wanted or not, reaches the handle. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Connect, connectWorker } from '../src/engine/connection.ts';
import { Engine } from '../src/engine/engine.ts';
import { collect, FakeEngine, fakeModel, fakeOptions, submission } from './fixtures/fake-engine.ts';

const connect: Connect = (options, listener) =>
  connectWorker(new URL('./fixtures/fake-worker.js', import.meta.url), options, listener);

function start(isa = 'auto'): Promise<Engine> {
  return Engine.start({ ...fakeOptions, isa }, { connect });
}

test('gives the same answers as the loop on this thread, idle or busy in between', async () => {
  const engine = await start();
  await engine.load(fakeModel('m'));
  const fake = await FakeEngine.start();
  const requests = [submission(20, { n: 2 }), submission(30), submission(7, { source: Int32Array.of(2) })];
  for (let round = 0; round < 3; round++) {
    const [here, there] = await Promise.all(
      [fake.engine, engine].map(each => Promise.all(requests.map(request => collect(each.submit(request))))),
    );
    assert.deepEqual(
      there!.map(({ tokens }) => tokens),
      here!.map(({ tokens }) => tokens),
    );
    await new Promise(resolve => setTimeout(resolve, 5));
  }
  const [stats] = await engine.stats();
  const { self, cross, cachedSelf, cachedCross } = stats!.pages;
  assert.deepEqual([stats!.running, self, cross], [0, cachedSelf, cachedCross]);
  await engine.close();
  await fake.engine.close();
});

test('a cancel reaches a busy loop', async () => {
  const engine = await start();
  await engine.load(fakeModel('m', { windows: [0, 0] }));
  const stream = engine.submit(submission(590));
  await stream.next();
  stream.cancel();
  const { finishes, tokens } = await collect(stream);
  assert.deepEqual(finishes, ['cancelled']);
  assert((tokens[0]?.length ?? 0) < 589);
  await engine.close();
});

for (const [isa, says] of [
  ['throws', /out of memory/],
  ['exits', /ended unexpectedly/],
] as const) {
  test(`a worker that ${isa} in a step fails open requests with engine_dead`, async () => {
    const engine = await start(isa);
    await engine.load(fakeModel('m'));
    await assert.rejects(collect(engine.submit(submission(5))), { code: 'engine_dead' });
    assert.match((await engine.died).message, says);
    await engine.close();
  });
}

test('a runtime that cannot be made fails the start', async () => {
  await assert.rejects(start('none'), /no such instruction set/);
});
