"""The experiment notebooks with the papers' checkpoints: the whole way, only that weights and data are small."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from fakehub import fill

ROOT = Path(__file__).parents[2]
NOTEBOOKS = {  # with a word of the ledger's verdict on the numbers themselves: SQuAD's metric was never published
    "sst2": ("distilbert", "as two samples"),
    "rotten-tomatoes": ("roberta", "as two samples"),
    "imdb": ("bert", "another value"),
    "squad": ("bert", "not tested"),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """What HF_HOME names."""
    home = tmp_path_factory.mktemp("hf-home")
    fill(home)
    return home


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_papers_setting_runs(name, home, tmp_path):
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
    hub = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = {k: v for k, v in os.environ.items() if k != "UDIG_LAB_DATA"} | quiet | hub
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "-p", "PROFILE", "paper", "-p", "LIMIT", "3"]
    architecture, verdict = NOTEBOOKS[name]
    command += ["-p", "ARCHITECTURE", architecture]
    source, done = ROOT / "notebooks" / "experiments" / f"{name}.ipynb", tmp_path / "done.ipynb"
    ended = subprocess.run(
        [*command, source, done], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    outputs = [o for cell in nbformat.read(done, 4).cells for o in cell.get("outputs", [])]
    shown = "".join(str(o.get("text", "")) + str(o.get("data", "")) for o in outputs)
    assert "as_published" in shown
    assert verdict in shown
