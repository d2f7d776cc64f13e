/** Flags of the benchmarks: defaults, kinds, and what is refused. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeFlags, readFlags } from '../bench/flags.ts';

const defaults = { url: '', rate: 1.5, 'ignore-eos': false };

it('gives every flag the kind of its default, and keeps what stands between them', () => {
  const { flags, paths } = readFlags(['--rate', '2', 'out.json', '--ignore-eos', '--url=http://a', 'more'], defaults);
  assert.deepEqual(flags, { url: 'http://a', rate: 2, 'ignore-eos': true });
  assert.deepEqual(paths, ['out.json', 'more']);
  assert.deepEqual(readFlags([], defaults), { flags: defaults, paths: [] });
  assert.equal(readFlags(['--rate', 'inf'], defaults).flags.rate, Number.POSITIVE_INFINITY);
});

it('refuses what is no number and what is no flag, by name', () => {
  for (const wrong of ['', 'NaN', 'two']) assert.throws(() => readFlags(['--rate', wrong], defaults), /--rate must be/);
  assert.throws(() => readFlags(['--rat', '2'], defaults), /--rat/);
});

it('lists flags with their defaults', () => {
  assert.equal(describeFlags(defaults), '--url VALUE --rate 1.5 --ignore-eos');
});
