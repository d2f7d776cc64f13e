"""RedLLM, DecLLM and DecLLM+BiAttn (arXiv 2510.26622, section 3) in PyTorch. Tensors have the names that checkpoints give them.

Shapes: B examples, S source tokens, T target tokens, D hidden size, H heads, d = head_dim, V vocabulary.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Config:
    """The fields of config.json."""

    model_type: str  # "redllm" or "decllm"
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    head_dim: int
    num_encoder_layers: int = 0  # of redllm
    num_decoder_layers: int = 0
    num_hidden_layers: int = 0  # of decllm
    prefix_attention: str = "causal"  # of decllm: "bidirectional" is DecLLM+BiAttn
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-6
    bos_token_id: int = 1
    eos_token_id: int = 2
    pad_token_id: int = 0

    def to_json(self) -> dict:
        other = {
            "redllm": ("num_hidden_layers", "prefix_attention"),
            "decllm": ("num_encoder_layers", "num_decoder_layers"),
        }[self.model_type]
        return {name: value for name, value in asdict(self).items() if name not in other}


def rms(x: torch.Tensor, eps: float) -> torch.Tensor:
    """Over the last axis, without a gain."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


class Rotation:
    """By halves, of heads [B, T, H, d] at positions [B, T] or [T]."""

    def __init__(self, positions: torch.Tensor, c: Config):
        half = c.head_dim // 2
        inverse = c.rope_theta ** (-torch.arange(half, device=positions.device) / half)
        angle = (positions[..., None] * inverse)[..., None, :]
        self.cos, self.sin = angle.cos(), angle.sin()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, -1)
        return torch.cat([a * self.cos - b * self.sin, b * self.cos + a * self.sin], -1)


class Norm(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(c.hidden_size))
        self.eps = c.rms_norm_eps

    def forward(self, x):
        return rms(x, self.eps) * self.weight


class Attention(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.c = c
        heads = c.num_attention_heads * c.head_dim
        self.q_proj = nn.Linear(c.hidden_size, heads, bias=False)
        self.k_proj = nn.Linear(c.hidden_size, heads, bias=False)
        self.v_proj = nn.Linear(c.hidden_size, heads, bias=False)
        self.o_proj = nn.Linear(heads, c.hidden_size, bias=False)

    def forward(self, x, rotate_x, states, rotate_states, mask):
        """Queries of x [B, T, D], keys and values of states [B, S, D]; mask: added to logits [B, H, T, S] (equations 1 and 2)."""
        c = self.c
        heads = lambda y: rms(y.unflatten(-1, (c.num_attention_heads, c.head_dim)), c.rms_norm_eps)
        q, k, v = rotate_x(heads(self.q_proj(x))), rotate_states(heads(self.k_proj(states))), heads(self.v_proj(states))
        logits = torch.einsum("bthd,bshd->bhts", q, k) * c.head_dim**-0.5 + mask
        out = torch.einsum("bhts,bshd->bthd", logits.softmax(-1), v)
        if c.model_type == "redllm":
            out = rms(out, c.rms_norm_eps)
        return self.o_proj(out.flatten(-2))


class FeedForward(nn.Module):
    def __init__(self, c: Config):
        super().__init__()
        self.gate_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.up_proj = nn.Linear(c.hidden_size, c.intermediate_size, bias=False)
        self.down_proj = nn.Linear(c.intermediate_size, c.hidden_size, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c: Config, cross: bool, dropout: float):
        super().__init__()
        self.input_layernorm, self.self_attn = Norm(c), Attention(c)
        if cross:
            self.cross_attention_layernorm, self.cross_attn = Norm(c), Attention(c)
        self.post_attention_layernorm, self.mlp = Norm(c), FeedForward(c)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, rotate, mask, states=None, rotate_states=None, cross_mask=None):
        h = self.input_layernorm(x)
        x = x + self.dropout(self.self_attn(h, rotate, h, rotate, mask))
        if states is not None:
            h = self.cross_attention_layernorm(x)
            x = x + self.dropout(self.cross_attn(h, rotate, states, rotate_states, cross_mask))
        return x + self.dropout(self.mlp(self.post_attention_layernorm(x)))


def added(visible: torch.Tensor) -> torch.Tensor:
    """0 where a key is seen, minus infinity elsewhere."""
    return torch.zeros(visible.shape, device=visible.device).masked_fill(~visible, float("-inf"))


class Stack(nn.Module):
    def __init__(self, c: Config, layers: int, cross: bool, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(Layer(c, cross, dropout) for _ in range(layers))
        self.norm = Norm(c)

    def forward(self, x, *seen):
        for layer in self.layers:
            x = layer(x, *seen)
        return self.norm(x)


class LanguageModel(nn.Module):
    """What both have: an embedding that is the head as well, scaled there by D ** -0.5."""

    def __init__(self, c: Config, dropout: float):
        super().__init__()
        self.c = c
        self.embed_tokens = nn.Embedding(c.vocab_size, c.hidden_size)
        self.dropout = nn.Dropout(dropout)

    def initialise(self) -> None:
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=1.0 if name == "embed_tokens.weight" else weight.shape[1] ** -0.5)

    def embed(self, ids):
        return self.dropout(self.embed_tokens(ids))

    def head(self, x):
        return F.linear(x, self.embed_tokens.weight) * self.c.hidden_size**-0.5


class RedLLM(LanguageModel):
    def __init__(self, c: Config, dropout: float = 0.0):
        super().__init__(c, dropout)
        self.encoder = Stack(c, c.num_encoder_layers, False, dropout)
        self.decoder = Stack(c, c.num_decoder_layers, True, dropout)
        self.initialise()

    def forward(self, source, source_length, answer):
        """Logits [B, T, V] of the tokens behind each of answer [B, T], which begins with bos. source: [B, S], without bos."""
        s, t = source.shape[1], answer.shape[1]
        places = torch.arange(s, device=source.device)
        real = added((places < source_length[:, None])[:, None, None])
        rotate_source = Rotation(places, self.c)
        states = self.encoder(self.embed(source), rotate_source, real)
        steps = torch.arange(t, device=source.device)
        causal = added(steps <= steps[:, None])
        # Positions go on where the source ends: n, n + 1, ...
        rotate = Rotation(source_length[:, None] + steps, self.c)
        return self.head(self.decoder(self.embed(answer), rotate, causal, states, rotate_source, real))


class DecLLM(LanguageModel):
    def __init__(self, c: Config, dropout: float = 0.0):
        super().__init__(c, dropout)
        stack = Stack(c, c.num_hidden_layers, False, dropout)
        self.layers, self.norm = stack.layers, stack.norm
        self.initialise()

    def forward(self, ids, prompt_length):
        """Logits [B, T, V] of the tokens behind each of ids [B, T]: bos, source, answer. prompt_length [B] counts bos, too."""
        places = torch.arange(ids.shape[1], device=ids.device)
        visible = (places <= places[:, None])[None]
        if self.c.prefix_attention == "bidirectional":
            inside = places < prompt_length[:, None]
            visible = visible | (inside[:, :, None] & inside[:, None])
        rotate, mask, x = Rotation(places, self.c), added(visible[:, None]), self.embed(ids)
        for layer in self.layers:
            x = layer(x, rotate, mask)
        return self.head(self.norm(x))


def build(c: Config, dropout: float = 0.0) -> LanguageModel:
    return (RedLLM if c.model_type == "redllm" else DecLLM)(c, dropout)
