"""Recorded runs: cells of settings, worked through in shards, written whole, read back with where they come from."""

from udig_lab.experiments.cell import Cell, grid
from udig_lab.experiments.records import cards, own_folder, recorded, results_folder
from udig_lab.experiments.run import run
from udig_lab.experiments.work import attributions

__all__ = ["Cell", "attributions", "cards", "grid", "own_folder", "recorded", "results_folder", "run"]
