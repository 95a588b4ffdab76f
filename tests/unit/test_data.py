"""Data sets as rows: what is read, renamed, left out and drawn, and what is said when it cannot be had."""

import os

import pandas as pd
import pytest
from huggingface_hub import constants

import udig_lab as ul
from udig_lab.model.load import DATASETS

ANSWERS = {"answers": [["a"]], "answer_starts": [[0]]}


@pytest.fixture
def write(monkeypatch, tmp_path):
    """Write a data set's file into a folder that UDIG_LAB_DATA names."""
    monkeypatch.setenv("UDIG_LAB_DATA", str(tmp_path))

    def write(name, columns):
        file = tmp_path / name / ("dev.parquet" if name == "squad" else "test.parquet")
        file.parent.mkdir()
        pd.DataFrame(columns).to_parquet(file)
        return file

    return write


@pytest.mark.parametrize("name", DATASETS)
def test_every_corpus_ships(name):
    rows = ul.data.examples(name)
    wanted = {"id", "question", "context", "answers", "answer_starts"} if name == "squad" else {"id", "text", "label"}
    assert wanted <= set(rows.columns)
    assert len(rows) >= 20
    texts = ul.data.texts(rows)
    assert len(texts) == len(rows)
    if name == "squad":
        assert texts[3] == (rows.question[3], rows.context[3])
    else:
        assert texts == rows.text.tolist()
        assert set(rows.label) == set(range(6 if name == "trec" else 2))


@pytest.mark.parametrize("name", ["sst2", "squad", "trec"])
def test_examples_are_what_explain_takes(name):
    found = ul.explain(ul.load(name), ul.data.texts(ul.data.examples(name, limit=2)), n_steps=1)
    assert [len(a) > 2 for a in found] == [True, True]


@pytest.mark.parametrize("name", ["sst2", "rotten_tomatoes", "trec"])
def test_texts_are_read_as_they_are(write, name):
    columns = {"id": [7, 3], "text": ["so <br /> ?", " two  blanks "], "label": [1, 0]}
    write(name, columns | {"label_name": ["DESC", "ABBR"]})
    pd.testing.assert_frame_equal(ul.data.examples(name, profile="lab"), pd.DataFrame(columns))


def test_reviews_lose_their_line_breaks(write):
    write("imdb", {"id": [0], "text": ["so<br />good<br /><br />."], "label": [1]})
    assert ul.data.examples("imdb", profile="lab").text[0] == "so good  ."


@pytest.mark.parametrize("profile", ["lab", "paper"])
def test_long_questions_are_left_out(write, profile):
    """The published rule: the context's first word hangs on the question's last one, and every blank parts words."""
    contexts = [
        start + "word " * n + "end" for start, n in (("", 75), ("", 76), ("two  blanks ", 72), ("two  blanks ", 73))
    ]
    columns = {"id": list("abcd"), "question": "Who is it ?", "context": contexts}
    write("squad", columns | {name: value * 4 for name, value in ANSWERS.items()})
    rows = ul.data.examples("squad", profile=profile)
    assert [len(("Who is it ?" + c).split(" ")) for c in contexts] == [79, 80, 79, 80]
    assert rows.id.tolist() == ["a", "c"]


@pytest.mark.skipif(not os.environ.get("UDIG_LAB_DATA"), reason="needs the real SQuAD in UDIG_LAB_DATA")
def test_the_published_number_of_questions():
    assert len(ul.data.examples("squad", profile="paper")) == 930


def test_a_draw_is_pandas_draw_in_order(write):
    columns = {"id": range(100), "text": [f"text {i}" for i in range(100)], "label": [0, 1] * 50}
    write("sst2", columns)
    rows = ul.data.examples("sst2", profile="lab", limit=10, seed=5)
    assert rows.id.tolist() == sorted(pd.DataFrame(columns).sample(10, random_state=5).id)
    assert rows.index.tolist() == list(range(10))
    assert rows.id.tolist() != ul.data.examples("sst2", profile="lab", limit=10, seed=6).id.tolist()
    assert len(ul.data.examples("sst2", profile="lab", limit=200)) == 100


def test_questions_are_left_out_before_the_draw(write):
    contexts = ["short one"] * 5 + ["word " * 90] * 95
    columns = {"id": [str(i) for i in range(100)], "question": "Who ?", "context": contexts}
    write("squad", columns | {name: value * 100 for name, value in ANSWERS.items()})
    assert ul.data.examples("squad", profile="lab", limit=5).id.tolist() == ["0", "1", "2", "3", "4"]


# What goes wrong


def sentence(call, kind, match):
    with pytest.raises(kind, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", DATASETS)
def test_nothing_but_a_way_out_without_hub_and_folder(monkeypatch, tmp_path, name):
    monkeypatch.delenv("UDIG_LAB_DATA", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    local = f"{name}/{'dev' if name == 'squad' else 'test'}.parquet"
    sentence(
        lambda: ul.data.examples(name, profile="lab"),
        FileNotFoundError,
        rf"cannot get .*parquet of .*/.* from the hub .*HF_HOME.* set UDIG_LAB_DATA to a folder with {local}, or use "
        "profile='mini'",
    )


def test_a_folder_without_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("UDIG_LAB_DATA", str(tmp_path))
    sentence(
        lambda: ul.data.examples("squad", profile="paper"),
        FileNotFoundError,
        rf"{tmp_path}/squad/dev\.parquet does not exist; UDIG_LAB_DATA must hold squad/dev\.parquet",
    )


@pytest.mark.parametrize(
    ("name", "columns", "message"),
    [
        (
            "sst2",
            {"id": [1], "sentence": ["fine"]},
            "sst2 lack the columns label: .*sst2/test.parquet has id, sentence",
        ),
        ("trec", {"text": ["who"], "fine_label": [3]}, "trec lack the columns label: .* has text, fine_label"),
        (
            "squad",
            {"id": ["a"], "context": ["c"], "answers": [["a"]]},
            "squad lack the columns question, answer_starts: .*squad/dev.parquet has id, context, answers",
        ),
    ],
)
def test_columns_that_are_missing(write, name, columns, message):
    write(name, columns)
    sentence(lambda: ul.data.examples(name, profile="lab"), ValueError, f"the data of {message}")


@pytest.mark.parametrize("left", [0, 4, 200, -1])
def test_a_broken_file(write, left):
    file = write("sst2", {"id": [1], "text": ["fine"], "label": [1]})
    file.write_bytes(file.read_bytes()[:left])
    sentence(
        lambda: ul.data.examples("sst2", profile="lab"), ValueError, rf"{file} is not a whole Parquet file; delete it"
    )


ROW = {"id": ["a", "b", "c"], "text": ["x", "y", "z"], "label": [0, 1, 0]}
ASKED = {"id": ["a", "b"], "question": ["q", "q"], "context": ["c", "c"], "answers": [["c"], ["c"]]}


@pytest.mark.parametrize(
    ("name", "columns", "says"),
    [
        ("sst2", ROW | {"text": ["x", None, "z"]}, r"row 1 \(id b\): text is nothing, not a text; mend the file"),
        ("imdb", ROW | {"text": ["x", None, "z"]}, r"row 1 \(id b\): text is nothing, not a text"),
        ("sst2", ROW | {"text": ["x", "y", " \n"]}, r"row 2 \(id c\): text is ' \\n', not a text"),
        ("trec", ROW | {"label": [0, None, 1]}, r"row 1 \(id b\): label is nothing, not the number of a class"),
        ("trec", ROW | {"label": ["0", "good", "1"]}, r"row 1 \(id b\): label is 'good', not the number of a class"),
        ("sst2", {name: [] for name in ROW}, "has no rows; fetch it again"),
        (
            "squad",
            ASKED | {"answer_starts": [[0], [0]], "answers": [["c"], []]},
            r"row 1 \(id b\): answers is \[\], not a list of texts",
        ),
        (
            "squad",
            ASKED | {"answer_starts": [[0], [0]], "question": ["q", None]},
            r"row 1 \(id b\): question is nothing",
        ),
    ],
)
def test_a_bad_row_is_named(write, name, columns, says):
    file = write(name, columns)
    sentence(lambda: ul.data.examples(name, profile="lab"), ValueError, rf"{file}(, )?.*{says}")


def test_names(write):
    sentence(lambda: ul.data.examples("mnli"), ValueError, "unknown data set 'mnli'; choose one of sst2, .*, trec")
    sentence(lambda: ul.data.examples("sst2", profile="all"), ValueError, "unknown profile 'all'; choose one of mini")
