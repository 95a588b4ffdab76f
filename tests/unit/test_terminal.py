"""In a terminal: controls are shown, mistakes and Ctrl-C are one sentence, and nothing is left running."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import udig_lab as ul
from udig_lab.attribution import Attribution
from udig_lab.cli import main
from udig_lab.drawing.heatmap import to_terminal, visible

HOSTILE = "fan\x1bcy pro\x9bJect \u202eevil\u2066 \x07"
_SENT = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def sent(printed):
    """What a terminal would obey, beside the colours that rich sends where there is a terminal, and new lines."""
    return _SENT.findall(re.sub(r"\x1b\[[0-9;]*m", "", printed))


def command(*arguments, **keywords):
    """The command in a process of its own; arguments as bytes are passed as they are."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | keywords.pop("environment", {})
    code = "import sys; from udig_lab_start import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=_hearing,
        **keywords,
    )


def _hearing():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it runs in the background ignore it


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec=None), max_size=40))
def test_no_text_sends_controls(text):
    assert not sent(visible(text))
    line, table = to_terminal([(text, 1.0)])
    assert not sent(line.plain.replace("\n", "\x00"))
    assert not [cell for column in table.columns for cell in column.cells if sent(str(cell))]
    found = Attribution((text,), (text,), (1,), (0,), (0.5,), (False,), 0, text, "logit", 1.0, 2.0, 2.0, text, text)
    assert not sent(str(found))


def test_explain_sends_no_controls(capsys):
    assert main(["explain", HOSTILE]) == 0
    printed = capsys.readouterr().out
    assert not sent(printed)
    assert r"\x1b" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "fine", "--target", HOSTILE],
        ["explain", "fine", "--baseline", HOSTILE],
        ["explain", "fine", "--model", HOSTILE],
        ["explain", "fine", "--method", HOSTILE],
        ["explain", "fine", HOSTILE],
        ["explain", "fine", "--segment", HOSTILE],
        ["explain", "fine", "--segment", f"{HOSTILE}=bad"],
        ["explain", "fine", "--segment", f"part={HOSTILE}"],
        ["explain", "fine", "--by", HOSTILE],
        ["run", "--dataset", HOSTILE],
        ["run", "--model", HOSTILE, "--dataset", "sst2"],
        ["run", "--model", "sst2", "--data", f"{HOSTILE}.csv"],
        ["run", "--dataset", "sst2", "--methods", HOSTILE],
        ["run", "--dataset", "sst2", "--set", HOSTILE],
        ["run", "--dataset", "sst2", "--baselines", HOSTILE, "--methods", "ig", "--workers", "0"],
        ["explain", "fine", "--target", "²"],
        ["run", "--dataset", "sst2", "--limit", "²"],
        ["run", "--dataset", "sst2", "--max-length", "-1"],
        ["run", "--dataset", "imdb", "--methods", "ig", "--max-length", "1e3"],
        ["run", "--dataset", "sst2", "--seed", "1.5"],
        ["run", "--dataset", "sst2", "--set", "n_steps=1.5", "--methods", "ig"],
        ["run", "--dataset", "sst2", "--set", "rule=../../evil", "--methods", "ig", "--workers", "0"],
    ],
)
def test_mistakes_are_one_sentence(arguments, tmp_path, capsys):
    arguments += ["--output", str(tmp_path / "results")] if arguments[0] == "run" else []
    try:
        status = main(arguments)
    except SystemExit as end:  # as argparse does
        status = end.code
    printed = capsys.readouterr().err
    assert status == 2
    assert printed.startswith("udig-lab: ")
    assert printed.count("\n") == 1
    assert not sent(printed)
    assert not list(tmp_path.rglob("*.parquet"))


def test_labels_of_somebody_elses_model_send_no_controls(lab, monkeypatch, capsys):
    monkeypatch.setattr(lab.model.config, "id2label", {0: HOSTILE, 1: HOSTILE[::-1]})
    monkeypatch.setattr("udig_lab.cli.load", lambda _: lab)
    assert main(["explain", "fine"]) == 0
    assert not sent(capsys.readouterr().out)
    assert not sent(str(ul.explain(lab, "fine")))


def test_names_of_segments_send_no_controls(capsys):
    for by in ("token", "segment"):
        assert main(["explain", "a fine film", "--segment", f"{HOSTILE}=fine", "--by", by, "--method", "sig"]) == 0
        printed = capsys.readouterr().out
        assert not sent(printed)
        assert r"\x1b" in printed


@pytest.mark.parametrize("text", [b"caf\xe9 is fine", "café ☕ is fine".encode()])
@pytest.mark.parametrize("language", ["C", "C.UTF-8"])
def test_arguments_of_another_encoding(text, language):
    process = command("explain", text, "--json", environment={"LC_ALL": language, "PYTHONUTF8": "0"})
    out, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert json.loads(out)["method"] == "ig"


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "fine " * 100, "--method", "shapley_sampling"],
        ["run", "--dataset", "sst2", "--methods", "ig", "--set", "n_steps=5000", "--workers", "2"],
        ["run", "--dataset", "sst2", "--methods", "ig", "--set", "n_steps=5000", "--workers", "0"],
    ],
)
@pytest.mark.parametrize("after", [0.3, 7])
def test_ctrl_c_is_one_sentence(arguments, after, tmp_path):
    """While it imports, and while it works; in a terminal all its processes get it."""
    arguments = [*arguments, "--output", str(tmp_path)] if arguments[0] == "run" else arguments
    process = command(*arguments, process_group=0)
    time.sleep(after)
    started = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert re.fullmatch(rb"udig-lab: stopped.*\n", told), told
    _, left = psutil.wait_procs(started, timeout=10)
    assert not left
