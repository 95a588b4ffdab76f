"""Hostile input: texts, settings, saved results and command lines that hypothesis thinks of."""

import contextlib
import io
import json
import math
import random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tally import Tally

import udig_lab as ul
from udig_lab.cli import main
from udig_lab.methods import METHODS

_CHARACTERS = st.characters(codec=None)  # lone surrogates and controls included
_TEXTS = st.one_of(
    st.text(_CHARACTERS, max_size=60),
    st.lists(st.sampled_from(["fine", "[MASK]", "[SEP]", "\x1b[2J", "<b>", "\u202e", "é", "☕", "a" * 99, ""])).map(
        " ".join
    ),
)
_NUMBERS = st.one_of(
    st.integers(1, 6),
    st.integers(-3, 6),
    st.sampled_from([10**9, 1.5, math.nan, math.inf, -0.0, True, None, "3", [], "²"]),
)
_QUICK = {"n_steps": 2, "n_samples": 2, "factor": 1, "n_neighbors": 3}
_COUNTS = {"n_steps": 3, "n_samples": 3, "factor": 2, "n_neighbors": 5}  # what a try may ask for, so that it ends
_METHODS = [name for name in METHODS if name not in ("shapley_sampling", "kernel_shap", "lime", "deep_lift", "ig2")]
_CONTROLS = {*map(chr, range(32)), *map(chr, range(127, 160)), *"\u061c\u200e\u200f\u2028\u2029"} - {"\n"}
_CONTROLS |= {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}


def _times(count: int):
    checks = [
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ]
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=checks,
    )


def texts_and_settings(tally: Tally, count: int) -> None:
    """Any text, any method, any settings: scores that are finite and come back from JSON, or one sentence."""
    model = ul.load("sst2")

    @_times(count)
    @given(_TEXTS, st.sampled_from(_METHODS), st.data())
    def explained(text, method, data):
        names = [name for name in METHODS[method].defaults if name not in ("tree", "baselines")]
        given_ = data.draw(st.dictionaries(st.sampled_from(names), _NUMBERS, max_size=2)) if names else {}
        capped = {n: min(v, _COUNTS.get(n, v)) if type(v) is int and v < 10**6 else v for n, v in given_.items()}
        quick = {n: v for n, v in _QUICK.items() if n in names}
        baseline = data.draw(
            st.one_of(
                st.sampled_from(["mask", "pad", "zero", "mean", None]),
                st.sampled_from(["mask", "unk", "movie", "", "[PAD]", "\x1b"]),
            )
        )
        target = data.draw(
            st.one_of(st.none(), st.none(), st.integers(-1, 2), _NUMBERS, st.text(_CHARACTERS, max_size=3))
        )
        with tally.trial():
            try:
                found = ul.explain(
                    model, text, method=method, baseline=baseline, target=target, max_length=24, **(quick | capped)
                )
            except Exception as error:
                tally.refused(error)
                return
            saved = found.to_json()
            json.loads(saved, parse_constant=tally.strange)
            if not all(map(math.isfinite, found.scores)) or ul.Attribution.from_json(saved) != found:
                tally.strange(ValueError(f"{method} of {text!r}: {found}"))
            if _CONTROLS & set(str(found)):
                tally.strange(ValueError(f"controls are sent of {text!r}"))

    explained()


def saved_results(tally: Tally, count: int) -> None:
    """A saved result with a stretch of it replaced: read as what it says, or refused in one sentence."""
    text = ul.explain(ul.load("sst2"), "a fine film", n_steps=2).to_json()
    draw = random.Random(0)
    spoils = ["NaN", "{", "[" * 5000, "null", '"', "1e999", "-", "true", "\x00", "\udcff", "9" * 400, "", "[]", ","]
    for _ in range(count):
        begin = draw.randrange(len(text))
        spoilt = text[:begin] + draw.choice(spoils) + text[begin + draw.randrange(12) :]
        with tally.trial():
            try:
                ul.Attribution.from_json(spoilt).to_json()
            except Exception as error:
                tally.refused(error)


def command_lines(tally: Tally, count: int) -> None:
    """Any words after `udig-lab`: status 0 or 2, and where it is 2, one sentence."""
    known = (
        "explain run ledger --dataset sst2 --target --model --method sig --json fine --baseline pad --limit --seed 1"
    )
    words = st.one_of(
        st.sampled_from([*known.split(), "--max-length", "-1", "--set", "n_steps=x", "--methods", ""]),
        st.text(_CHARACTERS, max_size=8),
    )
    begin = st.sampled_from(
        [[], ["explain"], ["explain", "fine"], ["explain", "fine", "--method"], ["run", "--dataset"]]
    )

    @_times(count)
    @given(begin, st.lists(words, max_size=6))
    def answered(begin, arguments):
        arguments = begin + arguments
        # No run begins, and no help is printed.
        if "run" in arguments[:1]:
            arguments = [*arguments, "--protocols", "none-such"]
        if any(word.startswith(("-h", "--h")) for word in arguments):
            return
        out, err = io.StringIO(), io.StringIO()
        with tally.trial():
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    status = main(arguments)
                except SystemExit as end:
                    status = end.code
            said = err.getvalue()
            if status not in (0, 2) or (status == 2 and (said.count("\n") != 1 or not said.startswith("udig-lab: "))):
                tally.strange(ValueError(f"{arguments}: {status} {said}"))
            tally.refusals += status == 2
            if _CONTROLS & set(said + out.getvalue()):
                tally.strange(ValueError(f"controls are sent by {arguments}"))

    answered()
