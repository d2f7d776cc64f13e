"""Compares these models' logits with those of an executable specification in float64, where one is at hand.

    python compare.py --reference redllm_reference.py

The reference is a Python file with `Config` and `Model(config, weights).logits(source, answer)`.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch

import data
from export import logits_of
from model import build
from recipes import CONFIGS


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True)
    options = parser.parse_args()
    found = importlib.util.spec_from_file_location("reference", options.reference)
    reference = importlib.util.module_from_spec(found)
    sys.modules["reference"] = reference
    found.loader.exec_module(reference)
    torch.manual_seed(1)
    source, answer = data.source_ids("encoder"), data.target_ids("EH0 N K OW1 D ER0")
    for name, config in CONFIGS.items():
        model = build(config).double().eval()
        weights = {key: weight.numpy() for key, weight in model.state_dict().items()}
        expected = reference.Model(reference.Config(**config.to_json()), weights).logits(source, answer)
        error = np.abs(logits_of(model, source, [answer])[0].numpy() - expected).max()
        print(f"{name}: greatest difference {error:.2e}")
        # Rotation angles are float32 here.
        if error > 1e-4:
            sys.exit(f"{name} is not what the reference says.")


if __name__ == "__main__":
    main()
