/** What a client that must wait is told: the measured rate, of lately. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompletionRate } from '../src/engine/completion-rate.ts';

test('the wait follows the rate of completions', () => {
  const rate = new CompletionRate();
  assert.equal(rate.secondsFor(10, 0), 1);
  for (let i = 0; i <= 10; i++) rate.completed(i * 500);
  assert.equal(rate.secondsFor(10, 5000), 5);
  assert.equal(rate.secondsFor(10_000, 5000), 60);
});

test('what was long ago says nothing about now', () => {
  const rate = new CompletionRate();
  rate.completed(0);
  rate.completed(3_600_000);
  assert.equal(rate.secondsFor(5, 3_600_000), 1);
});

test('time without a request is not held against the next ones', () => {
  const rate = new CompletionRate();
  rate.works(0);
  rate.completed(100);
  rate.completed(200);
  rate.rests(200);
  rate.works(30_200);
  rate.completed(30_300);
  assert.equal(rate.secondsFor(100, 30_300), 10);
  assert.equal(rate.secondsFor(100, 30_500), 20, 'a stall counts');
  rate.rests(30_500);
  rate.rests(30_600);
  rate.works(40_500);
  assert.equal(rate.secondsFor(100, 40_500), 20);
});
