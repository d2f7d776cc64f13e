/** The paper's protocol: a forward pass a sequence, source and answer known, one sequence at a time. */
import type { Draw } from '../statistics.ts';
import { promptCost } from './floors.ts';
import { decoderFlop, paperFlop } from './flops.ts';
import type { Place } from './place.ts';
import type { Asked, Subject } from './subject.ts';

export interface PaperGrid {
  readonly source: number;
  readonly answer: number;
  /** Asked together and run one after the other, so that a device need not wait for the host between them. */
  readonly sequences: number;
}

export function paperPlaces({ source, answer, sequences }: PaperGrid): Place[] {
  const asked = (subject: Subject, draw: Draw): Asked[] =>
    Array.from({ length: sequences }, () => ({
      source: subject.draw(draw, source),
      given: subject.draw(draw, answer),
      answer: 1,
    }));
  return [
    {
      protocol: 'paper',
      labels: { source, answer, batch: 1 },
      needs: { source, decoder: answer + 1, rows: 1, sources: 1 },
      once: async (subject, draw) => {
        const before = await subject.stats();
        await subject.askAll(asked(subject, draw));
        const after = await subject.stats();
        const of = (stats: typeof before) => 2 * (stats.multiplyAdds.products + stats.multiplyAdds.attention);
        return { ...countsOf(subject, source, answer), counted_flop: (of(after) - of(before)) / sequences };
      },
      measure: async (subject, draw) => {
        const { seconds } = await subject.askAll(asked(subject, draw));
        return { examples_per_second: sequences / seconds };
      },
      limits: (model, floors) => {
        const cost = promptCost(model, { source, sources: 1, rows: 1, given: answer });
        return { examples_per_second: { value: 1 / floors.seconds(cost), because: floors.because(cost) } };
      },
      seconds: (model, floors) =>
        sequences * floors.seconds(promptCost(model, { source, sources: 1, rows: 1, given: answer })),
    },
  ];
}

/** By the paper's formula; as executed here, with the logits of one position of a sequence; and with those of every decoder token. */
function countsOf(subject: Subject, source: number, answer: number) {
  const { spec } = subject;
  const encodes = spec.encoder !== undefined;
  const count = encodes ? answer : source + answer;
  const paper = paperFlop(spec, { source: encodes ? source : 0, target: count });
  const executed = promptCost(subject, { source, sources: 1, rows: 1, given: answer }).flop;
  const otherLogits = decoderFlop(spec, { first: 0, count: 0, source: 0, prefix: 0, sampled: count - 1 });
  return { paper_flop: paper, executed_flop: executed, all_logits_flop: executed + otherLogits };
}
