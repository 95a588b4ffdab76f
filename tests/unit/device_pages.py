"""The chapters of the practice part on a device that is not the CPU, cell by cell; the nightly workflow runs it.

Like ``device_checks.py`` it needs a process of its own. ``load`` puts every model on the device, as a reader's own
call with ``device=`` would; exercises are left out.
"""

import json
from pathlib import Path

import matplotlib
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from pretend import register

import udig_lab as ul

DEVICE = register()
CHAPTERS = sorted((Path(__file__).parents[2] / "notebooks" / "practice").glob("*.ipynb"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter(path, monkeypatch):
    matplotlib.use("agg")
    load = ul.load

    def there(*args, **keywords):
        model = load(*args, **keywords)
        model.model.to(DEVICE)
        return model

    monkeypatch.setattr(ul, "load", there)
    names, plain = {"__name__": "__main__", "display": print}, TransformerManager()
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf8"))["cells"]):
        if cell["cell_type"] == "code" and "exercise" not in cell["metadata"].get("tags", []):
            code = plain.transform_cell("".join(cell["source"]))
            exec(compile(code, f"{path.name}, cell {number}", "exec"), names)
