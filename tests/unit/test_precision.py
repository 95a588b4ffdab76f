"""Which precision is the faster one, measured and said."""

import pytest

import udig_lab as ul
from udig_lab.model import precision
from udig_lab.model.precision import settled


def test_the_faster_precision_is_measured_once_and_said(monkeypatch, caplog):
    """Whichever product is the quicker one is taken; bfloat16 only where it pays for its rounding."""
    took = {"float32": 1.0, "bfloat16": 0.4}
    asked = []

    def seconds(dtype, device):
        asked.append(dtype)
        return took[str(dtype).removeprefix("torch.")]

    monkeypatch.setattr(precision, "_seconds", seconds)
    precision.faster.cache_clear()
    with caplog.at_level("INFO", "udig_lab"):
        assert settled("auto", "cpu") == settled("auto", "cpu") == "bfloat16"
    assert len(asked) == 2
    assert "a matrix product is 2.5 times as fast in bfloat16 on cpu" in caplog.text
    took["bfloat16"] = 0.95
    precision.faster.cache_clear()
    assert settled("auto", "cpu") == "float32"
    precision.faster.cache_clear()


def test_what_auto_chooses_is_what_explains(lab, monkeypatch):
    text = "dull but witty"
    for chosen in ("float32", "bfloat16"):
        monkeypatch.setattr(precision, "faster", lambda device, chosen=chosen: chosen)
        found, wanted = (ul.explain(lab, text, precision=p) for p in ("auto", chosen))
        assert found.scores == wanted.scores
    with pytest.raises(ValueError, match="unknown precision 'half'; choose one of float32, bfloat16, auto"):
        ul.explain(lab, text, precision="half")
