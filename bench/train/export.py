"""Makes checkpoints of what train.py left, and writes down what the models say, for the tests of the engine.

    python bench/train/export.py --examples DIR --weights OUT --models models --golden test/fixtures/g2p.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import data
from model import DecLLM, LanguageModel, build
from recipes import CONFIGS

GOLDEN_WORDS, GOLDEN_LOGITS = 1000, 2
LONGEST = 40  # phonemes of an answer: the dictionary has 32 at most


def special(name: str) -> dict:
    return {"SpecialToken": {"id": name, "type_id": 0}}


def tokenizer(model_type: str) -> dict:
    """Letters are tokens, whatever their case and accents; `<speak>` ends them. Phonemes are tokens that begin with a space."""
    id_of = {name: {"id": name, "ids": [data.ID[name]], "tokens": [name]} for name in ("<s>", "<speak>")}
    word = [{"Sequence": {"id": "A", "type_id": 0}}, special("<speak>")]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    normalizers = [{"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "NFD"}, {"type": "StripAccents"}]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": data.ID[name], "content": name, **flags} for name in data.SPECIAL],
        "normalizer": {"type": "Sequence", "normalizers": [*normalizers, {"type": "Lowercase"}]},
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": word if model_type == "redllm" else [special("<s>"), *word],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": id_of,
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": data.ID,
            "merges": [],
        },
    }


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_checkpoint(directory: Path, config, weights: dict[str, torch.Tensor]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    class_of = {"redllm": "RedLLMForConditionalGeneration", "decllm": "DecLLMForCausalLM"}
    write_json(
        directory / "config.json",
        {
            "architectures": [class_of[config.model_type]],
            **config.to_json(),
            "is_encoder_decoder": config.model_type == "redllm",
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
        },
    )
    tokens = {"bos_token_id": data.BOS, "eos_token_id": data.EOS, "pad_token_id": data.PAD}
    start = {"decoder_start_token_id": data.BOS} if config.model_type == "redllm" else {}
    write_json(directory / "generation_config.json", {**tokens, **start, "do_sample": False, "max_new_tokens": LONGEST})
    write_json(directory / "tokenizer.json", tokenizer(config.model_type))


@torch.no_grad()
def logits_of(model: LanguageModel, source: list[int], answers: list[list[int]]) -> torch.Tensor:
    """Of the token behind each answer's tokens and, in decllm, behind the prompt. [answers, tokens + 1, V]"""
    rows = len(answers)
    if isinstance(model, DecLLM):
        ids = torch.tensor([[data.BOS] + source + answer for answer in answers])
        return model(ids, torch.full((rows,), 1 + len(source)))[:, len(source) :]
    answers = torch.tensor([[data.BOS] + answer for answer in answers])
    return model(torch.tensor([source] * rows), torch.full((rows,), len(source)), answers)


def greedy(model: LanguageModel, word: str) -> list[int]:
    """One word at a time, without a cache: as plain as can be. Without the end."""
    answer: list[int] = []
    while len(answer) < LONGEST:
        token = logits_of(model, data.source_ids(word), [answer])[0, -1].argmax().item()
        if token == data.EOS:
            break
        answer.append(token)
    return answer


def golden(model: LanguageModel, words: list[str]) -> dict:
    answers = [greedy(model, word) for word in words]
    logits = [logits_of(model, data.source_ids(word), [answer])[0] for word, answer in zip(words, answers[:GOLDEN_LOGITS])]
    spoken = ["".join(data.VOCABULARY[token] for token in answer).replace("\u2581", " ").strip() for answer in answers]
    return {
        "tokens": answers[:GOLDEN_LOGITS],
        "logits": [[[round(x, 5) for x in row] for row in rows.tolist()] for rows in logits],
        "answers": spoken,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("examples", "weights", "models", "golden"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    words = [word["prompt"] for word in data.read_words(options.examples / "test.jsonl")]
    # Evenly from all of them, as test/bundled-models.test.ts takes them.
    words = [words[i * len(words) // GOLDEN_WORDS] for i in range(GOLDEN_WORDS)]
    said = {}
    for name, config in CONFIGS.items():
        weights = load_file(options.weights / f"{name}.safetensors")
        rounded = {key: weight.to(torch.bfloat16).contiguous() for key, weight in weights.items()}
        write_checkpoint(options.models / f"{name}-g2p", config, rounded)
        model = build(config).eval()
        # What is shipped, computed in float32.
        model.load_state_dict({key: weight.float() for key, weight in rounded.items()})
        said[f"{name}-g2p"] = golden(model, words)
        print(name, sum(weight.numel() for weight in weights.values()), "parameters", flush=True)
    options.golden.write_text(json.dumps(said, separators=(",", ":"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
