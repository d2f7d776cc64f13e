/** Trained checkpoints over HTTP, SSE and WebSocket: the goldens' text to the letter, streamed or not. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { WebSocket } from 'ws';
import { post, type RealServer, readEvents, realServer } from './fixtures/real-server.ts';
import { sharedPath } from './shared.ts';

const g2p = sharedPath('models', 'g2p-bart-us');
const stories = sharedPath('models', 'stories260k');

interface Word {
  word: string;
  input_ids: number[];
  greedy: number[];
  beam4: number[];
  greedy_text: string;
}

interface Choice {
  text: string;
  finish_reason: string;
  prompt_token_ids: number[];
  token_ids?: number[];
  beam_score?: number;
}

describe('trained models', { skip: g2p && stories ? false : 'no trained models here' }, () => {
  let server: RealServer;
  let templates: string;
  before(async () => {
    // The checkpoint has no chat template; this one only repeats what was said.
    templates = mkdtempSync(join(tmpdir(), 'redllm-'));
    writeFileSync(join(templates, 'chat.jinja'), '{% for message in messages %}{{ message.content }}{% endfor %}');
    server = await realServer([g2p!, stories!], { chatTemplate: join(templates, 'chat.jinja') });
  });
  after(async () => {
    await server.close();
    rmSync(templates, { recursive: true });
  });

  it('turns the 200 words into exactly the golden phonemes, all at once', async () => {
    const words: Word[] = JSON.parse(readFileSync(`${g2p}/golden.json`, 'utf8'));
    assert.equal(words.length, 200);
    const answers = await Promise.all(
      words.map(async ({ word }) => {
        const response = await post(`${server.url}/v1/completions`, {
          model: 'g2p-bart-us',
          prompt: word,
          max_tokens: 60,
          temperature: 0,
          return_token_ids: true,
        });
        return ((await response.json()) as { choices: Choice[] }).choices[0]!;
      }),
    );
    for (const [i, { word, input_ids, greedy, greedy_text }] of words.entries()) {
      assert.equal(answers[i]!.text, greedy_text, word);
      assert.deepEqual(answers[i]!.prompt_token_ids, input_ids, word);
      // The goldens begin with the start token, which is the server's business.
      assert.deepEqual(answers[i]!.token_ids, greedy.slice(1), word);
      assert.equal(answers[i]!.finish_reason, 'stop', word);
    }
  });

  it('finds the golden phonemes of four beams, alone and all at once', async () => {
    const words: Word[] = JSON.parse(readFileSync(`${g2p}/golden.json`, 'utf8'));
    const answer = async ({ word }: Word) => {
      const response = await post(`${server.url}/v1/completions`, {
        model: 'g2p-bart-us',
        prompt: word,
        max_tokens: 60,
        use_beam_search: true,
        best_of: 4,
        n: 1,
        return_token_ids: true,
      });
      return ((await response.json()) as { choices: Choice[] }).choices[0]!;
    };
    const check = (choice: Choice, { word, beam4 }: Word) => {
      assert.deepEqual(choice.token_ids, beam4.slice(1), word);
      assert.equal(choice.finish_reason, 'stop', word);
      assert.ok(choice.beam_score! < 0, word);
    };
    for (const word of words) check(await answer(word), word);
    const together = await Promise.all(words.map(answer));
    for (const [i, word] of words.entries()) check(together[i]!, word);
  });

  it('says that an answer was cut, though the checkpoint forces its last token', async () => {
    const cut = await post(`${server.url}/v1/completions`, {
      model: 'g2p-bart-us',
      prompt: 'dictionary',
      max_tokens: 3,
    });
    const [choice] = ((await cut.json()) as { choices: Choice[] }).choices;
    assert.equal(choice!.finish_reason, 'length');
  });

  const golden = (): { text: string; greedy: number[]; prompt: number[] } =>
    JSON.parse(readFileSync(`${stories}/golden.json`, 'utf8'));
  const story = () => ({
    model: 'stories260k',
    prompt: golden().prompt,
    max_tokens: golden().greedy.length - golden().prompt.length,
    temperature: 0,
  });

  it('tells the golden story, byte for byte the same whole, by SSE and by WebSocket', async () => {
    const whole = (await (await post(`${server.url}/v1/completions`, story())).json()) as { choices: Choice[] };
    assert.equal(whole.choices[0]!.text, golden().text);

    const streamed = await post(`${server.url}/v1/completions`, { ...story(), stream: true });
    const events = await readEvents(streamed);
    assert.equal(events.pop(), '[DONE]');
    const pieces = events.map(event => JSON.parse(event).choices[0].text);
    assert.ok(pieces.length > 100, 'the story came in one piece');
    assert.equal(pieces.join(''), golden().text);

    assert.equal((await overSocket(story())).join(''), golden().text);
  });

  it('is driven by the openai client: completions and chat, whole and streamed', async () => {
    const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const { text } = golden();
    const whole = await client.completions.create({ ...story(), stream: false });
    assert.equal(whole.choices[0]!.text, text);
    let streamed = '';
    for await (const chunk of await client.completions.create({ ...story(), stream: true })) {
      streamed += chunk.choices[0]?.text ?? '';
    }
    assert.equal(streamed, text);

    const chat = {
      model: 'stories260k',
      messages: [{ role: 'user' as const, content: 'Once upon a time' }],
      max_tokens: 60,
      temperature: 0,
    };
    const answer = await client.chat.completions.create(chat);
    assert.match(answer.choices[0]!.message.content ?? '', /there was/);
    const final = await client.chat.completions.stream(chat).finalChatCompletion();
    assert.equal(final.choices[0]!.message.content, answer.choices[0]!.message.content);
  });

  async function overSocket(body: object): Promise<string[]> {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/completions`);
    const pieces: string[] = [];
    await new Promise<void>((resolve, reject) => {
      socket.on('open', () => socket.send(JSON.stringify({ type: 'create', id: 'story', ...body })));
      socket.on('error', reject);
      socket.on('message', data => {
        const frame = JSON.parse(String(data));
        if (frame.type === 'chunk') pieces.push(frame.data.choices[0]?.text ?? '');
        else if (frame.type === 'done') resolve();
        else reject(new Error(String(data)));
      });
    });
    socket.close();
    return pieces;
  }
});
