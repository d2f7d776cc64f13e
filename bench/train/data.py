"""Words and phonemes as token ids. Which words are there for training is decided in split.ts, where the files that are read here come from."""

from __future__ import annotations

import json
from pathlib import Path

import torch

PAD, BOS, EOS, UNK, SPEAK = range(5)  # SPEAK ends the letters: what follows is spoken
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<speak>"]
LETTERS = list("abcdefghijklmnopqrstuvwxyz'-._")
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
PHONEMES = [vowel + stress for vowel in VOWELS for stress in "012"] + CONSONANTS
# A phoneme's piece begins with the mark of a space, so that text is its pieces one after the other.
VOCABULARY = SPECIAL + LETTERS + ["\u2581" + phoneme for phoneme in PHONEMES]
ID = {piece: i for i, piece in enumerate(VOCABULARY)}


def source_ids(word: str) -> list[int]:
    return [ID[letter] for letter in word] + [SPEAK]


def target_ids(spoken: str) -> list[int]:
    return [ID["\u2581" + phoneme] for phoneme in spoken.split()] + [EOS]


def read_words(path: Path) -> list[dict]:
    """`prompt` and `references` of each word of a file that examples.js wrote."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def padded(rows: list[list[int]]) -> torch.Tensor:
    """[rows, greatest length], PAD behind the shorter ones."""
    length = max(map(len, rows))
    return torch.tensor([row + [PAD] * (length - len(row)) for row in rows])


class Examples:
    """Every pronunciation of every word is an example of its own. The order depends on the seed alone, never on the model."""

    def __init__(self, words: list[dict]):
        pairs = [(source_ids(word["prompt"]), target_ids(spoken)) for word in words for spoken in word["references"]]
        self.source, self.target = padded([s for s, _ in pairs]), padded([t for _, t in pairs])
        self.source_length = torch.tensor([len(s) for s, _ in pairs])
        self.target_length = torch.tensor([len(t) for _, t in pairs])

    def batches(self, size: int, steps: int, seed: int):
        """`steps` times (source, source length, target) of `size` examples of like lengths, so that little is padded."""
        random = torch.Generator().manual_seed(seed)
        count, pool = len(self.source), 32 * size
        queue: list[torch.Tensor] = []
        for _ in range(steps):
            if not queue:
                order = torch.randperm(count, generator=random)
                for stretch in order.split(pool):
                    by_length = self.source_length[stretch] * 64 + self.target_length[stretch]
                    stretch = stretch[by_length.argsort(stable=True)]
                    queue += [batch for batch in stretch.split(size) if len(batch) == size]
                queue = [queue[i] for i in torch.randperm(len(queue), generator=random)]
            batch = queue.pop()
            lengths = self.source_length[batch]
            yield (
                self.source[batch, : lengths.max()],
                lengths,
                self.target[batch, : self.target_length[batch].max()],
            )
