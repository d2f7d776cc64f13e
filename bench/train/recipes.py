"""The three models: about 1.2 M parameters each, alike within 1 %, and one recipe for all."""

from __future__ import annotations

import data
from model import Config

SEED = 2510_26622
BATCH, STEPS = 512, 6500
PRETRAINING = 2000  # of DecLLM's steps: with the loss on every token, before it is on the answer's alone
PEAK, WARMUP, DECAY, DROPOUT, SMOOTHING = 2e-3, 300, 0.05, 0.1, 0.1
AVERAGE = 0.998  # what is shipped is the exponential mean of each step's weights, over some 500 steps

SHARED = dict(vocab_size=len(data.VOCABULARY), hidden_size=128, num_attention_heads=4, head_dim=32)
# DecLLM has no cross-attention: its feed-forward blocks are wider instead.
CONFIGS = {
    "redllm": Config("redllm", intermediate_size=256, num_encoder_layers=3, num_decoder_layers=3, **SHARED),
    "decllm": Config("decllm", intermediate_size=344, num_hidden_layers=6, **SHARED),
    "decllm-biattn": Config(
        "decllm", intermediate_size=344, num_hidden_layers=6, prefix_attention="bidirectional", **SHARED
    ),
}
