"""Record what every method makes of the models with planted shortcuts: ``results/planted/``.

python scripts/record_planted.py sst2

It resumes where it was stopped, and refuses to mix rows of different models, texts, settings or code. Texts are those
of the data set's test split (``UDIG_LAB_DATA``).
"""

from __future__ import annotations

import argparse

import torch

from udig_lab.experiments.planted import METHODS, SEEDS, record
from udig_lab.faithfulness.planted import DATASETS


def main() -> None:
    """Record one data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("seeds", type=int, nargs="*", default=list(SEEDS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    record(chosen.dataset, chosen.seeds, chosen.methods)


if __name__ == "__main__":
    main()
