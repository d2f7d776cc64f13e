/** Several generators as one. */

type Arrival<T> = { index: number; value: T; taken: () => void };

/**
 * Runs up to `width` of the generators at a time and yields what they yield, in order of arrival, each with its generator's
 * place; a generator goes on once its value was taken. What each returns is put in its place of `results`. Where one throws,
 * or the caller stops early, `stop` is called, which must make the others end.
 */
export async function* merge<T, R>(
  starts: readonly (() => AsyncGenerator<T, R>)[],
  width: number,
  stop: () => void,
  results: R[],
): AsyncGenerator<readonly [index: number, value: T], void> {
  const arrivals: Arrival<T>[] = [];
  let failure: { thrown: unknown } | undefined;
  let ended = false;
  let next = 0;
  let wake = () => {};

  const pump = async () => {
    while (next < starts.length && !ended) {
      const index = next++;
      const generator = starts[index]!();
      try {
        for (let step = await generator.next(); ; step = await generator.next()) {
          if (step.done) {
            results[index] = step.value;
            break;
          }
          if (ended) break;
          const { value } = step;
          await new Promise<void>(taken => {
            arrivals.push({ index, value, taken });
            wake();
          });
          if (ended) break;
        }
      } catch (thrown) {
        failure ??= { thrown };
        wake();
      } finally {
        // A generator that was left in the middle still has to let go of what it holds.
        await generator.return(undefined as R).catch(() => {});
      }
    }
  };

  let working = Math.min(width, starts.length);
  const pumps = Array.from({ length: working }, () =>
    pump().finally(() => {
      working--;
      wake();
    }),
  );
  try {
    for (;;) {
      if (failure) throw failure.thrown;
      const arrival = arrivals.shift();
      if (arrival) {
        try {
          yield [arrival.index, arrival.value];
        } finally {
          arrival.taken();
        }
      } else if (working === 0) {
        return;
      } else {
        await new Promise<void>(resolve => {
          wake = resolve;
        });
      }
    }
  } finally {
    ended = true;
    if (working > 0) stop();
    for (const arrival of arrivals) arrival.taken();
    await Promise.all(pumps);
  }
}
