"""Trains one of the three models; all see the same examples in the same order, for the same number of steps.

    python train.py redllm|decllm|decllm-biattn --examples DIR --out DIR

RedLLM learns by prefix LM throughout: letters are read in both directions, phonemes are predicted. DecLLM first learns causal LM over
letters and phonemes, then is finetuned with the loss on the phonemes alone; DecLLM+BiAttn is finetuned from the same pretrained weights
under the prefix-LM mask. Writes OUT/MODEL.safetensors (float32) and OUT/MODEL.csv, the log of the loss, and the same for decllm-pretrained;
export.py makes checkpoints of the weights.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import data
from model import DecLLM, LanguageModel, build
from recipes import AVERAGE, BATCH, CONFIGS, DECAY, DROPOUT, PEAK, PRETRAINING, SEED, SMOOTHING, STEPS, WARMUP

LOGGED = 50  # steps
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def inputs_of(model: LanguageModel, source, source_length, target, whole: bool):
    """What the model is given, and the token that it is to predict at each place, PAD where none.
    whole: every token behind the first, as in causal LM; else the answer's alone."""
    start = torch.full((len(target), 1), data.BOS)
    if not isinstance(model, DecLLM):
        return (source, source_length, torch.cat([start, target[:, :-1]], 1)), target
    rows = zip(source.tolist(), source_length.tolist(), target.tolist())
    ids = data.padded([[data.BOS] + s[:length] + t for s, length, t in rows])
    wanted = ids[:, 1:].clone()
    if not whole:
        wanted[torch.arange(wanted.shape[1]) < source_length[:, None]] = data.PAD
    return (ids[:, :-1], source_length + 1), wanted


def loss_of(forward, given, wanted, smoothing=0.0):
    """Nats a token that is wanted, wherever the model lies; sums are float32."""
    logits = forward(*(tensor.to(DEVICE) for tensor in given)).float()
    return F.cross_entropy(
        logits.flatten(0, 1), wanted.flatten().to(DEVICE), ignore_index=data.PAD, label_smoothing=smoothing
    )


@torch.no_grad()
def validate(model, examples: data.Examples) -> float:
    """Nats a phoneme (its end with it), of what is held out for this."""
    model.eval()
    given, wanted = inputs_of(model, examples.source, examples.source_length, examples.target, False)
    loss = loss_of(model, given, wanted).item()
    model.train()
    return loss


class Log:
    """A line of CSV, on the screen as well. `loss` is that of a batch, with dropout and label smoothing; `validation` (of the weights of
    that step, not of their mean) has neither."""

    def __init__(self, path: Path):
        self.file = open(path, "w", newline="")

    def __enter__(self):
        self("objective", "step", "loss", "validation", "seconds")
        return self

    def __call__(self, *fields):
        csv.writer(self.file).writerow(fields)
        self.file.flush()
        print(*fields, flush=True)

    def __exit__(self, *_):
        self.file.close()


def rate(step: int, first: int) -> float:
    """Up from 0 where a stage begins (Adam knows nothing there), down by a cosine over all steps."""
    return PEAK * min((step - first + 1) / WARMUP, 1.0) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / STEPS)))


def run(model, parts, first: int, last: int, whole: bool, log) -> dict[str, torch.Tensor]:
    """Steps [first, last). @return the mean weights"""
    torch.manual_seed(SEED)  # of dropout: the same whether another stage ran before in this process, or not
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.dim() == 2], "weight_decay": DECAY},
        {"params": [w for w in weights if w.dim() != 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    means = [w.detach().clone() for w in weights]
    forward = torch.compile(model, dynamic=True)
    began = time.time()
    model.train()
    for step, batch in enumerate(parts["train"].batches(BATCH, last, SEED)):
        if step < first:
            continue
        for group in optimizer.param_groups:
            group["lr"] = rate(step, first)
        given, wanted = inputs_of(model, *batch, whole)
        with torch.autocast(DEVICE, torch.bfloat16):
            loss = loss_of(forward, given, wanted, SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(means, weights, 1 - AVERAGE)
        if step % LOGGED == 0 or step == last - 1:
            held_out = f"{validate(model, parts['validation']):.4f}" if step % (10 * LOGGED) == 0 else ""
            log("pretraining" if whole else "answers", step, f"{loss.item():.4f}", held_out, f"{time.time() - began:.0f}")
    return {name: mean.cpu() for (name, _), mean in zip(model.named_parameters(), means)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=CONFIGS)
    parser.add_argument("--examples", type=Path, required=True, help="what examples.js wrote")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    parts = {part: data.Examples(data.read_words(options.examples / f"{part}.jsonl")) for part in ("train", "validation")}
    config = CONFIGS[options.model]
    first, start = 0, None
    if config.model_type == "decllm":
        first, start = PRETRAINING, options.out / "decllm-pretrained.safetensors"
        if start.exists():
            print(f"{start} is taken: remove it after a change to the recipe or the examples", flush=True)
        else:
            causal = build(replace(config, prefix_attention="causal"), DROPOUT).to(DEVICE)
            with Log(options.out / "decllm-pretrained.csv") as log:
                save_file(run(causal, parts, 0, PRETRAINING, True, log), start)
    model = build(config, DROPOUT).to(DEVICE)
    if start is not None:
        model.load_state_dict(load_file(start, DEVICE))
    with Log(options.out / f"{options.model}.csv") as log:
        save_file(run(model, parts, first, STEPS, False, log), options.out / f"{options.model}.safetensors")


if __name__ == "__main__":
    main()
