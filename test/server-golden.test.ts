/** Trained checkpoints, over every door: what comes out is what the reference wrote down, however it is asked for. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { describeModels } from '../src/cli/models.ts';
import { startServer } from '../src/cli/serve.ts';
import { configSchema } from '../src/config.ts';
import { sharedPath, skipWithout } from './shared.ts';

const skip = skipWithout('models', 'g2p-bart-us') || skipWithout('models', 'stories260k');
const golden = (name: string) => JSON.parse(readFileSync(sharedPath('models', name, 'golden.json')!, 'utf8'));

describe('trained checkpoints', { skip }, () => {
  let server: Awaited<ReturnType<typeof startServer>>;

  before(async () => {
    const model = ['g2p-bart-us', 'stories260k'].map(name => sharedPath('models', name)!);
    const config = configSchema.parse({ model, port: 0, logLevel: 'silent', kvMemory: '64MiB' });
    server = await startServer(config, await describeModels(config), () => {});
  });
  after(async () => {
    await server?.app.close();
    await server?.running.close();
  });

  const complete = (fields: object) =>
    fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ temperature: 0, max_tokens: 63, return_token_ids: true, ...fields }),
    });

  interface Whole {
    choices: { text: string; token_ids: number[]; prompt_token_ids?: number[] }[];
  }

  test('200 words in one request give the golden pronunciations', async () => {
    const words: { word: string; input_ids: number[]; greedy: number[]; greedy_text: string }[] = golden('g2p-bart-us');
    assert.equal(words.length, 200);
    const response = await complete({ model: 'g2p-bart-us', prompt: words.map(({ word }) => word) });
    const { choices } = (await response.json()) as Whole;
    assert.deepEqual(
      choices.map(({ text }) => text),
      words.map(word => word.greedy_text),
    );
    assert.deepEqual(
      choices.map(({ token_ids }) => token_ids),
      words.map(({ greedy }) => greedy.slice(1)),
    );
  });

  test('the story is the same whole, as events, and on a WebSocket', async () => {
    const story: { prompt: number[]; greedy: number[]; text: string } = golden('stories260k');
    const tokens = story.greedy.slice(story.prompt.length);
    const fields = { model: 'stories260k', prompt: story.prompt, max_tokens: tokens.length };
    const { choices } = (await (await complete(fields)).json()) as Whole;
    assert.deepEqual(choices[0]?.token_ids, tokens);
    assert.equal(choices[0]?.text.trim(), story.text.trim());

    const events = (await (await complete({ ...fields, stream: true })).text()).split('\n\n').slice(0, -2);
    const streamed = events.map(event => (JSON.parse(event.slice('data: '.length)) as Whole).choices[0]);
    assert.ok(streamed.length > 100, 'it came in parts');
    assert.equal(streamed.map(choice => choice?.text).join(''), choices[0]?.text);
    assert.deepEqual(
      streamed.flatMap(choice => choice?.token_ids),
      tokens,
    );

    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/completions`);
    await new Promise(resolve => socket.on('open', resolve));
    let text = '';
    const done = new Promise(resolve =>
      socket.on('message', data => {
        const frame = JSON.parse(String(data));
        if (frame.type === 'chunk') text += frame.data.choices[0].text;
        else resolve(frame.type);
      }),
    );
    socket.send(JSON.stringify({ type: 'create', id: 1, temperature: 0, ...fields }));
    assert.equal(await done, 'done');
    assert.equal(text, choices[0]?.text);
    socket.close();
  });
});
