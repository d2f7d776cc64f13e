"""PyTorch beside native/bench/cuda_bench.cc, at its shapes: scaled_dot_product_attention by the backend's name, T5's bias as the
materialised mask that PyTorch wants, one query over many keys, a large matrix product and a copy. Prints one JSON array of figures.

    python3 native/bench/torch_attention.py OUT.json [--tiny]
"""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

TINY = "--tiny" in sys.argv
FIGURES = []


def seconds(body, variants=1):
    """Of one of `variants` calls body(i), nine repetitions of some 12 ms."""

    def timed(times):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(times):
            for i in range(variants):
                body(i)
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / times / variants

    timed(3)
    times = max(1, int(0.012 / (timed(1) * variants)))
    return [timed(times) for _ in range(9)]


def add(what, unit, times, amount, scale):
    rates = [amount / t / scale for t in times]
    FIGURES.append(
        {
            "what": what,
            "unit": unit,
            "median": float(f"{statistics.median(rates):.5g}"),
            "repetitions": [float(f"{r:.5g}") for r in rates],
            "microseconds": float(f"{statistics.median(times) * 1e6:.5g}"),
        }
    )
    print(f"{what:72} {FIGURES[-1]['median']:10.2f} {unit}", flush=True)


def attempt(what, unit, body, amount, scale, backend=None, variants=1):
    """What a backend does not serve is noted as such."""
    try:
        if backend is None:
            add(what, unit, seconds(body, variants), amount, scale)
        else:
            with sdpa_kernel(backend):
                add(what, unit, seconds(body, variants), amount, scale)
    except RuntimeError as error:
        FIGURES.append({"what": what, "unit": unit, "median": None, "repetitions": [], "microseconds": 0})
        print(f"{what}: not served ({str(error).splitlines()[0]})", flush=True)


def noise(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def forward():
    tokens, hidden = (64, 128) if TINY else (16384, 2048)
    backends = {"FlashAttention": SDPBackend.FLASH_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}
    for head_dim in (64, 128) if TINY else (64, 128, 256):
        heads = hidden // head_dim
        for length in (32,) if TINY else (512, 1024, 2048, 4096, 8192):
            batch = tokens // length
            q, k, v = (noise(batch, heads, length, head_dim) for _ in range(3))
            for causal in (False, True):
                flop = 4 * tokens * (length + 1 if causal else 2 * length) / 2 * hidden
                shape = f"{heads} heads of {head_dim}, {batch} x {length} tokens, {'causal' if causal else 'full'}"
                for name, backend in backends.items():
                    attempt(
                        f"PyTorch {name}, attention forward, {shape}",
                        "TFLOP/s",
                        lambda _, causal=causal: F.scaled_dot_product_attention(q, k, v, is_causal=causal),
                        flop,
                        1e12,
                        backend,
                    )
    head_dim = 64
    heads = hidden // head_dim
    for length in (32,) if TINY else (512, 1024, 2048, 4096, 8192):
        batch = tokens // length
        q, k, v = (noise(batch, heads, length, head_dim) for _ in range(3))
        bias = noise(1, heads, length, length)
        for name, backend in (("efficient", SDPBackend.EFFICIENT_ATTENTION), ("cuDNN", SDPBackend.CUDNN_ATTENTION)):
            attempt(
                f"PyTorch {name}, attention forward, {heads} heads of {head_dim}, {batch} x {length} tokens, full, T5 bias",
                "TFLOP/s",
                lambda _: F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(batch, -1, -1, -1)),
                4 * tokens * length * hidden,
                1e12,
                backend,
            )
        del bias


def decode():
    heads, head_dim, length = (2, 64, 48) if TINY else (16, 128, 1024)
    for rows in (1, 2) if TINY else (1, 4, 16, 64, 256):
        size = rows * length * 4 * heads * head_dim
        variants = 2 if TINY else max(1, min(64, -(-220_000_000 // size)))
        k = [noise(rows, heads, length, head_dim) for _ in range(variants)]
        v = [noise(rows, heads, length, head_dim) for _ in range(variants)]
        q = noise(rows, heads, 1, head_dim)
        for name, backend in (("FlashAttention", SDPBackend.FLASH_ATTENTION), ("cuDNN", SDPBackend.CUDNN_ATTENTION)):
            attempt(
                f"PyTorch {name}, decode attention, {heads} heads of {head_dim}, {rows} rows of {length} keys",
                "GB/s",
                lambda i: F.scaled_dot_product_attention(q, k[i], v[i]),
                size,
                1e9,
                backend,
                variants,
            )


def ceilings():
    size = 64 if TINY else 8192
    a, b = noise(size, size), noise(size, size)
    attempt(f"PyTorch, product, {size} x {size} x {size}, bf16", "TFLOP/s", lambda _: a @ b, 2 * size**3, 1e12)
    n, k = (96, 64) if TINY else (4096, 4096)
    variants = 2 if TINY else 8
    weights = [noise(n, k) for _ in range(variants)]
    for rows in (1, 4, 16, 64):
        x = noise(rows, k)
        attempt(
            f"PyTorch, product, {rows} rows, {n} x {k}, bf16",
            "GB/s",
            lambda i: F.linear(x, weights[i]),
            2 * n * k,
            1e9,
            variants=variants,
        )
    source = noise(1 << 16 if TINY else 1 << 29)
    target = torch.empty_like(source)
    attempt("PyTorch, copy, bytes read and written", "GB/s", lambda _: target.copy_(source), 4 * source.numel(), 1e9)


def main():
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU")
    print(f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    for part in (ceilings, forward, decode):
        try:
            part()
        except Exception as error:  # what was measured is kept
            print(f"{part.__name__}: {error}", file=sys.stderr)
        torch.cuda.empty_cache()
    with open(sys.argv[1], "w") as out:
        json.dump(FIGURES, out, indent=1)


if __name__ == "__main__":
    main()
