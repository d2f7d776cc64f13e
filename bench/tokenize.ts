/**
 * Where the line between tokenising at once and in the pool should be: milliseconds of both for growing texts.
 * node dist/bench/tokenize.js TOKENIZER_JSON...
 */
import { TokenizerPool } from '../src/text/pool.ts';
import { Tokenizer } from '../src/text/tokenizer.ts';

const sentence = 'The house on the hill, built in 1897, was sold for 1.2 million euros; nobody knew why. ';
const lengths = [256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 262144];
const repeats = 15;

async function median(work: () => unknown): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < repeats; i++) {
    const start = performance.now();
    await work();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[repeats >> 1]!;
}

const paths = process.argv.slice(2);
if (paths.length === 0) {
  console.error('usage: node dist/bench/tokenize.js TOKENIZER_JSON...');
  process.exitCode = 1;
}
const pool = new TokenizerPool();
for (const path of paths) {
  const tokenizer = new Tokenizer(path);
  console.log(`${path}\ncharacters   tokens   inline ms   pool ms   pool overhead ms`);
  for (const length of lengths) {
    const text = sentence.repeat(Math.ceil(length / sentence.length)).slice(0, length);
    const tokens = tokenizer.encode(text).length;
    const inline = await median(() => tokenizer.encode(text));
    const pooled = await median(() => pool.run({ path, text, addSpecialTokens: true }));
    const columns: [string | number, number][] = [
      [length, 10],
      [tokens, 9],
      [inline.toFixed(3), 12],
      [pooled.toFixed(3), 10],
      [(pooled - inline).toFixed(3), 19],
    ];
    console.log(columns.map(([value, width]) => String(value).padStart(width)).join(''));
  }
}
await pool.close();
