"""Twenty architectures of the zoo: what is explained is the model's own output, or a sentence says why not.

The nightly workflow judges all of them: ``make zoo``.
"""

import json
from dataclasses import replace

import pytest
from zoo.__main__ import as_json, main
from zoo.build import TASKS, architectures, tiny_model
from zoo.judge import BARE, COMPLETE, OUTCOMES, REFUSED, SILENT, TOLERANCE, UNBUILT, WORKS, Verdict, judge
from zoo.pool import verdicts

import udig_lab as ul

TWENTY = {
    "classification": ["albert", "bert", "deberta-v2", "electra", "gpt2", "jamba", "modernbert", "qwen3", "roberta"],
    "span": ["bert", "distilbert", "xlm"],
    "causal": ["bloom", "falcon", "gpt_neox", "llama", "mamba2", "mixtral", "phi3", "opt"],
}
PAIRS = [(task, kind) for task, kinds in TWENTY.items() for kind in kinds]


@pytest.mark.parametrize(("task", "kind"), PAIRS, ids=lambda name: name)
def test_the_number_is_the_models_own(task, kind):
    verdict = judge(task, kind)
    assert verdict.outcome not in (SILENT, BARE, UNBUILT), verdict
    if verdict.outcome == REFUSED:
        assert verdict.sentence
    else:
        assert verdict.alone <= TOLERANCE
        assert verdict.delta <= COMPLETE or verdict.note


def test_a_difference_is_seen(monkeypatch):
    """The judge is no rubber stamp: an F that is off by a little is told."""

    explain = ul.explain

    def off(*args, **keywords):
        found = explain(*args, **keywords)
        if isinstance(found, list):
            return [replace(a, f_input=a.f_input + 0.01) for a in found]
        return found

    monkeypatch.setattr(ul, "explain", off)
    verdict = judge("classification", "bert")
    assert verdict.outcome == SILENT
    assert "batch" in verdict.sentence
    assert verdict.batch > TOLERANCE >= verdict.alone


def test_what_cannot_be_built_says_why():
    verdict = judge("causal", "no-such-model")
    assert verdict.outcome == UNBUILT
    assert "no-such-model" in verdict.sentence


def test_a_model_that_never_answers_costs_one_row():
    (verdict,) = verdicts([("classification", "bert")], seconds=0.001)
    assert verdict.outcome == BARE
    assert "more than" in verdict.sentence


def test_models_are_seeded():
    a, b = (tiny_model("causal", "llama").state_dict() for _ in range(2))
    assert all(bool((a[name] == b[name]).all()) for name in a)


def test_the_record_counts_what_it_holds():
    rows = [Verdict("causal", "a", WORKS), Verdict("causal", "b", REFUSED, "because"), Verdict("span", "c", WORKS)]
    told = json.loads(as_json(rows))
    assert told["counts"] == {"classification": {}, "span": {WORKS: 1}, "causal": {WORKS: 1, REFUSED: 1}}
    assert [row["kind"] for row in told["rows"]] == ["a", "b", "c"]
    assert set(told["versions"]) == {"python", "torch", "transformers", "udig_lab"}
    assert all(row["outcome"] in OUTCOMES for row in told["rows"])


def test_a_run_goes_on_where_it_was_stopped(monkeypatch, tmp_path, capsys):
    record, asked = tmp_path / "zoo.json", []

    def judged(pairs, **_):
        asked.extend(pairs)
        return (Verdict(*pair, WORKS) for pair in pairs)

    monkeypatch.setattr("zoo.__main__.verdicts", judged)
    monkeypatch.setattr("sys.argv", ["zoo", "bert", "gpt2", "--task", "span", "--output", str(record)])
    assert main() == 0
    monkeypatch.setattr("sys.argv", ["zoo", "bert", "xlm", "--task", "span", "--output", str(record), "--resume"])
    assert main() == 0
    assert [kind for _, kind in asked] == ["bert", "gpt2", "xlm"]
    assert [row["kind"] for row in json.loads(record.read_text())["rows"]] == ["bert", "gpt2", "xlm"]
    assert "span" in capsys.readouterr().out


@pytest.mark.parametrize("task", TASKS)
def test_every_architecture_of_the_library_is_asked(task):
    assert set(TWENTY[task]) <= set(architectures(task))
    assert len(architectures(task)) > 70
