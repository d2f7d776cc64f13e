/** Arrivals, prompts and the open loop: what is decided before the first request, and that no answer changes it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, Reader } from '../bench/serve/answer.ts';
import { schedule } from '../bench/serve/arrivals.ts';
import { EventReader } from '../bench/serve/events.ts';
import { flags, prepare, readPlans, type ServeFlags } from '../bench/serve/flags.ts';
import { readLengths } from '../bench/serve/lengths.ts';
import { openLoop } from '../bench/serve/load.ts';
import { drawPrompts } from '../bench/serve/mix.ts';
import { readAddress } from '../bench/serve/target.ts';
import { Draw } from '../bench/statistics.ts';

const infinity = Number.POSITIVE_INFINITY;
const plan = (given: Partial<ServeFlags>, chat = false) => readPlans({ ...flags, ...given }, chat)[0]!;

describe('arrivals', () => {
  it('come at the rate that was asked for, whatever was drawn', () => {
    for (const burstiness of [0.3, 1, 4, infinity])
      for (const seed of [1, 2]) {
        const due = schedule(400, { rate: 20, burstiness }, new Draw(seed));
        assert.ok(Math.abs(due.at(-1)! - 20_000) < 1e-6);
        assert.ok(due.every((at, i) => i === 0 || at >= due[i - 1]!));
      }
    assert.deepEqual(schedule(3, { rate: infinity, burstiness: 1 }, new Draw(1)), [0, 0, 0]);
    assert.deepEqual(schedule(2, { rate: 4, burstiness: infinity }, new Draw(1)), [250, 500]);
  });

  it('have gaps that vary as burstiness says: its square root goes down with it', () => {
    for (const burstiness of [0.25, 1, 4]) {
      const due = schedule(20_000, { rate: 1000, burstiness }, new Draw(5));
      const gaps = due.map((at, i) => at - (due[i - 1] ?? 0));
      const variance = gaps.reduce((sum, gap) => sum + (gap - 1) ** 2, 0) / gaps.length;
      assert.ok(Math.abs(Math.sqrt(variance) * Math.sqrt(burstiness) - 1) < 0.1, `${burstiness}: ${variance}`);
    }
  });
});

describe('prompts', () => {
  it('are the same for a seed, and others for another', () => {
    const { mix } = plan({ 'input-len': '4..9', 'output-len': 'lognormal:8:0.5' });
    const prompts = drawPrompts(50, mix, new Draw(1));
    assert.deepEqual(prompts, drawPrompts(50, mix, new Draw(1)));
    assert.notDeepEqual(prompts, drawPrompts(50, mix, new Draw(2)));
    for (const { prompt, inputLength, outputLength } of prompts) {
      assert.ok(prompt.length === inputLength && inputLength >= 4 && inputLength <= 9);
      assert.ok(outputLength >= 1 && outputLength <= 128);
      assert.ok((prompt as number[]).every(id => id >= 3 && id < flags.vocabulary));
    }
  });

  it('repeat sources for exactly the share that was asked for, never before they came', () => {
    for (const duplicates of [0, 0.25, 0.5, 0.9]) {
      const { mix } = plan({ mix: 'sources', duplicates });
      const texts = drawPrompts(40, mix, new Draw(3)).map(({ prompt }) => String(prompt));
      assert.equal(new Set(texts).size, 40 - Math.round(40 * duplicates));
    }
  });

  it('share prefixes', () => {
    const { mix } = plan({ mix: 'prefixes', 'prefix-share': 0.5, 'num-prefixes': 2, 'input-len': '8' });
    const prompts = drawPrompts(40, mix, new Draw(3)).map(({ prompt }) => prompt as number[]);
    const long = prompts.filter(({ length }) => length === 128 + 8);
    assert.equal(long.length, 20);
    assert.equal(new Set(long.map(ids => String(ids.slice(0, 128)))).size, 2);
    assert.equal(new Set(prompts.map(String)).size, 40, 'what follows is always new');
  });

  it('are words for a chat, and cut from a text', () => {
    const { mix } = plan({}, true);
    assert.equal(String(drawPrompts(1, mix, new Draw(1))[0]!.prompt).split(' ').length, 256);
    const text = { ...mix, name: 'text' as const, words: ['a', 'b', 'c'], input: () => 5 };
    assert.match(String(drawPrompts(1, text, new Draw(1))[0]!.prompt), /^(a b c a b|b c a b c|c a b c a)$/);
  });

  it('have lengths as flags say them', () => {
    assert.equal(readLengths('input-len', '7')(new Draw(1)), 7);
    for (const wrong of ['0', '9..4', 'x', '', 'lognormal:5', '-3'])
      assert.throws(() => readLengths('input-len', wrong), /--input-len must be/);
  });
});

it('refuses flags that ask for nothing, by name', () => {
  const wrong: [Partial<ServeFlags>, RegExp][] = [
    [{ 'request-rate': '0' }, /--request-rate/],
    [{ 'request-rate': '1,x' }, /--request-rate/],
    [{ mix: 'other' }, /--mix must be one of/],
    [{ duplicates: 1 }, /--duplicates/],
    [{ 'num-prompts': 0 }, /--num-prompts/],
    [{ 'extra-body': '[1]' }, /--extra-body/],
    [{ burstiness: 0 }, /--burstiness/],
    [{ goodput: 'itl:3' }, /--goodput/],
  ];
  for (const [given, said] of wrong) assert.throws(() => plan(given), said);
  assert.throws(() => plan({ prompts: 'ids' }, true), /--prompts must be words/);
});

it('takes objectives as vLLM does', () => {
  const args = ['--goodput', 'ttft:500', 'tpot:50', 'out.json', '--n', '2'];
  assert.deepEqual(prepare(args), ['--goodput', 'ttft:500 tpot:50', 'out.json', '--n', '2']);
  assert.deepEqual(prepare(['--goodput=ttft:5', 'a']), ['--goodput=ttft:5', 'a']);
});

it('finds the endpoint behind an address', () => {
  const address = (url: string, chat = false) => readAddress(url, chat).address;
  assert.equal(address('http://a:1'), 'http://a:1/v1/completions');
  assert.equal(address('http://a:1/', true), 'http://a:1/v1/chat/completions');
  assert.equal(address('http://a:1/openai'), 'http://a:1/openai/v1/completions');
  assert.equal(readAddress('http://a:1/openai/v1', false).base, 'http://a:1/openai');
  assert.equal(address('https://a/v1'), 'https://a/v1/completions');
  assert.equal(address('https://a/prefix/v1/chat/completions'), 'https://a/prefix/v1/chat/completions');
  assert.equal(address('ws://a:1/v1/completions'), 'ws://a:1/v1/completions');
  assert.deepEqual(readAddress('wss://a:1', true), {
    backend: 'websocket',
    base: 'https://a:1',
    address: 'wss://a:1/v1/chat/completions',
  });
  for (const wrong of ['', 'a:1', 'ftp://a']) assert.throws(() => address(wrong), /--url must be/);
});

it('reads events out of a stream that is cut anywhere', () => {
  const stream = 'data: {"a":1}\n\n: keep-alive\n\nevent: x\r\ndata:{"b":"ü"}\r\n\r\ndata: [DONE]';
  for (let size = 1; size <= stream.length; size++) {
    const found: string[] = [];
    const events = new EventReader(data => found.push(data));
    for (let at = 0; at < stream.length; at += size) events.push(stream.slice(at, at + size));
    events.end();
    assert.deepEqual(found, ['{"a":1}', '{"b":"ü"}', '[DONE]']);
  }
});

describe('the open loop', () => {
  const answered = (): Answer => {
    const reader = new Reader(performance.now(), 1);
    reader.chunk({ choices: [{ index: 0, text: 'a', finish_reason: 'stop' }] }, performance.now());
    return reader.answer();
  };

  it('sends every request though no answer comes', async () => {
    const sent: number[] = [];
    let release = () => {};
    const held = new Promise<void>(resolve => {
      release = resolve;
    });
    const due = Array.from({ length: 20 }, (_, i) => 2 * i);
    const load = openLoop(due, infinity, async index => {
      sent.push(index);
      await held;
      return answered();
    });
    while (sent.length < 20) await sleep(5);
    release();
    assert.equal((await load).sent.length, 20);
    assert.ok((await load).sent.every(({ late, queued }) => late >= 0 && queued < 1000));
  });

  it('holds those back that a cap holds back, in order, and not those that are late', async () => {
    const sent: number[] = [];
    let running = 0;
    let most = 0;
    const load = await openLoop([0, 0, 0, 0, 0, 0], 2, async index => {
      sent.push(index);
      most = Math.max(most, ++running);
      await sleep(10);
      running--;
      return answered();
    });
    assert.equal(most, 2);
    assert.deepEqual(sent, [0, 1, 2, 3, 4, 5]);
    assert.ok(load.sent[5]!.queued > load.sent[0]!.queued);
  });
});
