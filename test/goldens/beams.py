"""Goldens of beam search: what transformers' generate() answers on the tiny encoder-decoder models, in float32.

    python test/goldens/beams.py ../shared/models/tiny > test/fixtures/beams.json

Needs torch and transformers 5. A case is left out where rounding could decide it: where float64 gives other tokens, where the two
best scores are closer than 1e-4, or any two neighbours than 1e-5.
"""

import collections
import json
import pathlib
import random
import sys

import torch
import transformers

NEW_TOKENS = 20
SEED = 2204


def search(model, source, *, width, length_penalty, early_stopping, ends, min_tokens=0, forced_first=None, forced_last=None):
    """The `width` best hypotheses: [(tokens, score)]."""
    with torch.no_grad():
        out = model.generate(
            torch.tensor([source]),
            attention_mask=torch.ones(1, len(source), dtype=torch.long),
            num_beams=width,
            num_return_sequences=width,
            length_penalty=length_penalty,
            early_stopping=early_stopping,
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=min_tokens or None,
            eos_token_id=ends,
            forced_bos_token_id=forced_first,
            forced_eos_token_id=forced_last,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
    # Shorter hypotheses are padded; beam_indices holds one number for each token that is real.
    lengths = (out.beam_indices >= 0).sum(dim=1).tolist()
    rows = zip(out.sequences.tolist(), lengths, out.sequences_scores.tolist())
    return [(tokens[1 : 1 + length], score) for tokens, length, score in rows]


def is_clear(single, double):
    gaps = [a[1] - b[1] for a, b in zip(single, single[1:])]
    return [h[0] for h in single] == [h[0] for h in double] and gaps[0] > 1e-4 and min(gaps) > 1e-5


def variants(common, own):
    """End tokens that models of random weights do come to, and what else may bend a search."""
    ends = [{"ends": [own]}, {"ends": [common[0]]}, {"ends": sorted(common[:2])}]
    yield from (({**end, "length_penalty": p, "early_stopping": s}) for end in ends for p in (0.6, 1.0, 2.0) for s in (True, False, "never"))
    for early_stopping in (True, False):
        base = {"ends": [common[0]], "length_penalty": 1.0, "early_stopping": early_stopping}
        yield {**base, "min_tokens": 8}
        yield {**base, "forced_first": 7, "forced_last": common[0]}


def goldens(directory):
    single = transformers.AutoModelForSeq2SeqLM.from_pretrained(directory, dtype=torch.float32).eval()
    double = transformers.AutoModelForSeq2SeqLM.from_pretrained(directory, dtype=torch.float64).eval()
    own = single.generation_config.eos_token_id
    chance = random.Random(SEED)
    sources = [[chance.randrange(3, single.config.vocab_size) for _ in range(length)] for length in (9, 33)]
    seen = collections.Counter()
    for source in sources:
        plain = search(single, source, width=8, length_penalty=1.0, early_stopping=False, ends=[own])
        seen.update(token for tokens, _ in plain for token in tokens[2:12])
    common = [token for token, _ in seen.most_common(8) if token != own][2:]
    cases, dropped = [], 0
    for place, source in enumerate(sources):
        for width in (2, 4, 8):
            for variant in variants(common, own):
                answer = search(single, source, width=width, **variant)
                if not is_clear(answer, search(double, source, width=width, **variant)):
                    dropped += 1
                    continue
                hypotheses = [{"tokens": tokens, "score": round(score, 6)} for tokens, score in answer]
                cases.append({"source": place, "width": width, **variant, "hypotheses": hypotheses})
    print(f"{directory}: {len(cases)} cases, {dropped} left out", file=sys.stderr)
    return {"sources": sources, "cases": cases}


def main():
    root = pathlib.Path(sys.argv[1])
    torch.manual_seed(SEED)
    models = {name: goldens(root / name) for name in ("bart-tiny", "t5-tiny")}
    about = {"transformers": transformers.__version__, "torch": torch.__version__, "maxTokens": NEW_TOKENS}
    print(json.dumps({**about, "models": models}, separators=(",", ":")))


if __name__ == "__main__":
    main()
