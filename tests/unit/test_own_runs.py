"""Records of a reader's own models and files: names, keys, tables, what may not be mixed, what cannot be recorded."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForQuestionAnswering, BertForSequenceClassification
from wordlevel import word_tokenizer

import udig_lab as ul
from udig_lab.cli import main
from udig_lab.experiments import Cell, attributions, cards, cluster, grid, origin, recorded, run, work
from udig_lab.experiments.rows import under
from udig_lab.experiments.standings import standings
from udig_lab.experiments.tables import against, contrast, shares, summary

WORDS = "a fine film dull and loud quite good music without any hope who wrote the play ada did not they"
CLASSES = ("bad", "mixed", "good")
TEXTS = [f"{how} {what} {end}" for how in ("a fine", "quite dull", "loud") for what in ("film", "music", "play")
         for end in ("without any hope", "and good", "they did")]  # fmt: skip
METHODS = ["ig", "gradient_x_input", "random", "oracle"]
SHARD = 8  # examples in these tests


def write_model(folder, kind=BertForSequenceClassification, seed=0, words=WORDS, **settings):
    """A folder as save_pretrained writes it, with random weights."""
    tokenizer = word_tokenizer(words)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, initializer_range=0.5, **settings,
    )  # fmt: skip
    kind(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def labelled(names=CLASSES):
    return {"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setitem(work._SHARDS, "own", SHARD)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Two classifiers, a span model, and files for them."""
    folder = tmp_path_factory.mktemp("shelf")
    write_model(folder / "first", **labelled())
    write_model(folder / "second", seed=1, **labelled())
    write_model(folder / "spans", BertForQuestionAnswering)
    labels = [CLASSES[n % 3] for n in range(len(TEXTS))]
    pd.DataFrame({"text": TEXTS, "label": labels, "more": 1}).to_parquet(folder / "reviews.parquet")
    asked = pd.DataFrame({"question": ["who wrote the play"] * 4, "context": TEXTS[:4]})
    asked.to_csv(folder / "asked.csv", index=False)
    asked.assign(answers=[["fine film"]] * 4).to_json(folder / "answered.jsonl", orient="records", lines=True)
    return folder


@pytest.fixture
def own(shelf, tmp_path, monkeypatch):
    """A copy of it, which is also where the process stands."""
    shutil.copytree(shelf, tmp_path / "shelf")
    monkeypatch.chdir(tmp_path / "shelf")
    return tmp_path / "shelf"


def cells(model="first", data="reviews.parquet", methods=("random",), **more):
    return grid(Path(data).stem, methods, model=model, data=data, **more)


def record(found, folder, **keywords):
    return run(found, folder, workers=0, progress=False, **keywords)


def rows_of(folder, dataset="reviews"):
    return recorded(dataset, profile="own", folder=folder)


def command(folder, *words, method="random"):
    return main(["run", "--methods", method, "--output", str(folder), "--workers", "0", *words])


# Recorded


def test_any_model_on_any_file_gets_the_same_tables(own, tmp_path, capsys):
    results = tmp_path / "results"
    words = ["--model", "first", "--data", "reviews.parquet", "--set", "n_steps=4"]
    assert command(results, *words, method="ig") == 0
    assert command(results, *words[:4], method="gradient_x_input,random,oracle") == 0
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert names == [
        "ig-n_steps=4-first-mask-corrected.parquet",
        "gradient_x_input-first-mask-corrected.parquet",
        "random-first-corrected.parquet",
        "oracle-first-corrected.parquet",
    ]
    rows = rows_of(results)
    assert set(rows["model"]) == {"first"}
    assert rows.groupby("cell").size().tolist() == [len(TEXTS)] * 4
    assert rows[rows["method"] == "ig"]["id"].tolist() == list(range(len(TEXTS)))
    metrics = ["comprehensiveness_20", "sufficiency_20", "log_odds_mask_20"]
    assert len(summary(rows, metrics)) == 4
    assert len(against(rows, metrics)) == 3
    assert list(shares(rows, metrics).index.get_level_values("variant")) == ["gradient_x_input", "ig"]
    assert "4 methods" not in standings(rows, metrics).alt

    # Law 1: what is explained is the model's own output, and what is right is told by the model's own classes.
    model = ul.load("first")
    first = rows[rows["method"] == "ig"].reset_index(drop=True)
    outputs = []
    for text in TEXTS:
        with torch.no_grad():
            outputs.append(model.model(**model.tokenizer(text, return_tensors="pt")).logits[0])
    assert first["target"].tolist() == [int(o.argmax()) for o in outputs]
    assert first["f_input"].tolist() == pytest.approx([float(o.max()) for o in outputs], abs=1e-5)
    assert first["correct"].tolist() == [int(o.argmax()) == n % 3 for n, o in enumerate(outputs)]
    (cell,) = cells(methods=["ig"], settings={"n_steps": 4})
    part = origin.ordered_examples(cell).sort_index()
    assert attributions(cell, part.iloc[:3], first.iloc[:3])[0].tokens[1:-1] == tuple(TEXTS[0].split())


def test_questions_with_and_without_answers(own, tmp_path):
    for data in ("asked.csv", "answered.jsonl"):
        record(cells("spans", data), tmp_path / "r")
    without, with_ = (rows_of(tmp_path / "r", name) for name in ("asked", "answered"))
    assert without["correct"].isna().all()
    assert with_["correct"].isin([True, False]).all()
    both = ["target_start", "target_end", "comprehensiveness_20"]
    pd.testing.assert_frame_equal(without[both], with_[both])
    assert len(summary(without, ["comprehensiveness_20"])) == 1


def test_texts_without_labels(own, tmp_path):
    pd.DataFrame({"text": TEXTS[:3]}).to_csv("plain.csv", index=False)
    record(cells(data="plain.csv"), tmp_path / "r")
    assert rows_of(tmp_path / "r", "plain")["correct"].isna().all()


def test_a_labs_model_on_a_file_and_a_model_on_the_books_data(tmp_path, monkeypatch):
    pd.DataFrame({"text": ["a fine film", "quite dull"], "label": ["Positive", "NEGATIVE"]}).to_csv(
        tmp_path / "two.csv"
    )
    shutil.copytree(ul.model.load.ASSETS / "lab-sentiment", tmp_path / "turned")
    turned = ul.load(str(tmp_path / "turned")).model
    with torch.no_grad():
        for parameter in (turned.classifier.weight, turned.classifier.bias):
            parameter.copy_(parameter.flip(0))
    turned.config.id2label = {0: "positive", 1: "negative"}
    turned.config.label2id = {"positive": 0, "negative": 1}
    turned.save_pretrained(tmp_path / "turned")
    monkeypatch.chdir(tmp_path)
    assert command("r", "--model", "sst2", "--data", "two.csv") == 0
    assert rows_of(Path("r"), "two")["correct"].tolist() == [True, True]
    for model in ([], ["--model", "turned"]):
        assert command("r", "--dataset", "sst2", "--limit", "12", *model) == 0
    ours, theirs = recorded("sst2", profile="mini", folder=Path("r")), rows_of(Path("r"), "sst2")
    assert theirs["cell"].unique().tolist() == ["random-mini-turned-corrected"]
    assert theirs["target"].tolist() == (1 - ours["target"]).tolist()  # its classes stand in another order
    assert theirs["correct"].tolist() == ours["correct"].tolist()


def test_several_models_are_told_apart(own, tmp_path):
    for model in ("first", "second"):
        record(cells(model, methods=["random", "gradient_x_input"]), tmp_path / "r")
    rows = rows_of(tmp_path / "r")
    assert sorted(rows["model"].unique()) == ["first", "second"]
    assert len(rows) == 4 * len(TEXTS)
    metrics = ["comprehensiveness_20"]
    for table in (summary, against, shares, standings):
        with pytest.raises(ValueError, match=r"models first, second, .* choose with under\(rows, model='first'\)"):
            table(rows, metrics)
    assert summary(under(rows, model="second"), metrics)["n"].tolist() == [len(TEXTS)] * 2
    assert len(summary(rows, metrics, by=("model", "variant"))) == 4
    assert len(contrast(rows, metrics, of="model", one="first", other="second")) == 2


def test_draws_of_random_scores_belong_to_their_model(own, tmp_path):
    for model in ("first", "second"):
        record(cells(model), tmp_path / "r")
    before = rows_of(tmp_path / "r").set_index(["model", "id"])["comprehensiveness_20"]
    record(cells("first", settings={"seed": 5}), tmp_path / "r" / "draws")
    found = rows_of(tmp_path / "r")
    assert found.groupby("model")["draws"].first().to_dict() == {"first": 2, "second": 1}
    after = found.set_index(["model", "id"])["comprehensiveness_20"]
    assert after["second"].equals(before["second"])
    assert not after["first"].equals(before["first"])


# Names, keys, cards


def test_names_and_commands(own):
    (plain,) = cells()
    others = [
        *cells("second"),
        *cells("organisation/model"),
        *cells("other/model"),
        *cells("sst2"),
        *cells(max_length=20),
        replace(plain, dataset="sst2", data=None, profile="mini"),
        replace(plain, dataset="sst2", data=None, profile="lab"),
    ]
    assert len({(c.place, c.dataset, c.name) for c in (plain, *others)}) == 1 + len(others)
    assert {c.place for c in others} == {"own"}
    moved = replace(plain, model=str(own / "first"), data=str(own / "reviews.parquet"))
    assert moved.name == plain.name
    assert origin.key_of(moved, origin.ordered_examples(moved), judged=True) == origin.key_of(
        plain, origin.ordered_examples(plain), judged=True
    )
    assert "=" not in replace(plain, model="a=b/c").name  # a name with "=" says that settings are not the defaults
    assert plain.command == "udig-lab run --model ./first --data reviews.parquet --methods random"
    assert others[-1].command == "udig-lab run --model ./first --dataset sst2 --profile lab --methods random"


def test_the_command_of_a_card_records_the_same_cell(own, tmp_path):
    (cell,) = cells(limit=5, max_length=20)
    record(cell, tmp_path / "a")
    (card,) = cards("reviews", profile="own", folder=tmp_path / "a")
    assert Cell(**card["cell"]) == cell
    assert command(tmp_path / "b", *cell.command.split()[2:]) == 0
    (other,) = cards("reviews", profile="own", folder=tmp_path / "b")
    assert other["key"] == card["key"]


def test_cells_of_the_book_are_what_they_were():
    """A key as the package made it before there were models and files of the reader's own."""
    key = Cell("sst2", "ig", settings={"n_steps": 10}, limit=4).fingerprint("weights", "data", judged=True)
    assert key == "e8121f69a5a2a194c34093260073d48c1f92f9267962872ca4a91938c8c642d9"
    assert not {"model", "data"} & set(Cell("sst2", "ig").fields)


# Resumed, grown, refused


def test_a_run_that_was_stopped_goes_on(own, tmp_path, monkeypatch):
    record(cells(), tmp_path / "whole")
    made = []

    def stopping(*arguments, make=work.explained_rows):
        made.append(1)
        if len(made) == 3:
            raise KeyboardInterrupt
        return make(*arguments)

    monkeypatch.setattr(work, "explained_rows", stopping)
    words = ["--model", "first", "--data", "reviews.parquet"]
    assert command(tmp_path / "r", *words) == 130
    assert len(list((tmp_path / "r").glob(".shards/reviews/own/**/judged/*.parquet"))) == 2
    assert command(tmp_path / "r", *words) == 0
    assert len(made) == 1 + len(TEXTS) // SHARD + 1  # none was made twice but the one that was stopped
    pd.testing.assert_frame_equal(*(rows_of(tmp_path / f).drop(columns="seconds") for f in ("r", "whole")))


def test_a_larger_limit_adds_to_a_smaller_one(own, tmp_path, monkeypatch):
    record(cells(limit=SHARD), tmp_path / "r")
    first = rows_of(tmp_path / "r")
    assert len(first) == SHARD
    made = []
    monkeypatch.setattr(
        work, "explained_rows", lambda *a, make=work.explained_rows: made.append(len(a[2])) or make(*a)
    )
    record(cells(limit=2 * SHARD + 1), tmp_path / "r")
    assert made == [SHARD, 1]
    grown = rows_of(tmp_path / "r")
    kept = grown[grown["id"].isin(first["id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first)
    record(cells(limit=3), tmp_path / "r")
    assert len(rows_of(tmp_path / "r")) == 2 * SHARD + 1


def retrain(folder):
    write_model(folder / "first", seed=7, **labelled())


def retokenise(folder):
    word_tokenizer(WORDS).save_pretrained(folder / "first")
    tokenizer = folder / "first" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"normalizer": null', '"normalizer": {"type": "Lowercase"}'))


def relabel(folder):
    rows = pd.read_parquet(folder / "reviews.parquet")
    rows.assign(label=rows["label"].iloc[::-1].to_numpy()).to_parquet(folder / "reviews.parquet")


CHANGES = [(retrain, "weights"), (retokenise, "configuration or tokenizer"), (relabel, "texts or labels")]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_another_model_or_file_under_the_same_name_is_refused(own, tmp_path, change, words, whole):
    """Also within one process, which remembers what it has loaded."""
    record(cells(), tmp_path / "r")
    if not whole:
        shutil.rmtree(tmp_path / "r" / "reviews")
        next((tmp_path / "r").glob(".shards/**/judged/0001.parquet")).unlink()
    before = {file: file.read_bytes() for file in (tmp_path / "r").rglob("*.parquet")}
    change(own)
    with pytest.raises(ValueError, match=rf"made from other {words}.*rows of different origin never join"):
        record(cells(), tmp_path / "r")
    assert {file: file.read_bytes() for file in (tmp_path / "r").rglob("*.parquet")} == before
    record(cells(), tmp_path / "r", force=True)
    (card,) = cards("reviews", profile="own", folder=tmp_path / "r")
    assert card["key"] == origin.key_of(cells()[0], origin.ordered_examples(cells()[0]), judged=True)


def test_names_of_classes_may_change(own, tmp_path):
    """They make no number, and labels go with them."""
    record(cells(), tmp_path / "r")
    names = ("poor", "so-so", "great")
    write_model(own / "first", **labelled(names))
    rows = pd.read_parquet("reviews.parquet")
    rows.assign(label=rows["label"].map(dict(zip(CLASSES, names, strict=True)))).to_parquet("reviews.parquet")
    assert record(cells(), tmp_path / "r")


def test_a_network_that_cannot_be_made_small_is_told_by_its_source(own, tmp_path, monkeypatch):
    monkeypatch.setitem(sys_modules("code")._SIZES, "num_attention_heads", 3)  # 8 is no multiple of it
    (cell,) = cells(limit=4)
    origin.forget()
    record(cell, tmp_path / "r")
    before = origin.code(cell)
    monkeypatch.setattr(sys_modules("code"), "source_sha256", lambda: "f" * 64)
    origin.forget()
    assert origin.code(cell) != before
    with pytest.raises(ValueError, match="heads"):
        origin.code(Cell("sst2", "random", profile="mini"))
    origin.forget()


def sys_modules(name):
    import sys

    return sys.modules[f"udig_lab.experiments.{name}"]


# Clusters


def test_workers_that_stand_elsewhere_get_whole_paths(own):
    (cell,) = cells()
    there = origin.at_places(cell)
    assert (there.model, there.data) == (str(own / "first"), str(own / "reviews.parquet"))
    assert there.name == cell.name
    assert origin.places(cell) == (there.model, there.data)
    assert origin.places(Cell("sst2", "ig")) == ()
    assert origin.places(replace(cell, model="sst2")) == (there.data,)


def test_a_worker_that_does_not_see_the_model(own, tmp_path):
    distributed = pytest.importorskip("distributed")
    (cell,) = cells(limit=2)
    lost = origin.places(cell)[0]
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its usual port may be another run's
        silence_logs="CRITICAL",
    ) as found:

        def hidden(path, there=os.path.exists):
            return path != lost and there(path)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(cluster.os.path, "exists", hidden)
            with pytest.raises(OSError, match=rf"does not see {lost}; give all workers the model and the data under"):
                run(cell, tmp_path / "r", scheduler=found.scheduler_address, progress=False)
        run(cell, tmp_path / "r", scheduler=found.scheduler_address, progress=False)
    assert len(rows_of(tmp_path / "r")) == 2


# One sentence each

ROWS = pd.DataFrame({"id": [1, 2, 3], "text": ["a fine film", "dull", "loud"], "label": [0, 1, 2]})
PAIRS = pd.DataFrame({"question": ["who wrote the play"], "context": ["ada did"], "answers": [["ada"]]})


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (ROWS.drop(columns="text"), "has neither kind of columns: id, label; it needs a column text"),
        (ROWS.assign(question="q", context="c"), "has both kinds of columns"),
        (ROWS.iloc[:0], "has no rows; write at least one text into it"),
        (ROWS.assign(text=["a", " ", "c"]), r"row 1 \(id 2\): text is ' ', not a text"),
        (ROWS.assign(text=["a", None, "c"]), r"row 1 \(id 2\): text is nothing, not a text"),
        (ROWS.assign(id=[1, 1, 2]), "row 1: the id 1 stands there twice; give every row another one"),
        (ROWS.assign(id=[1.5, 2, 3]), "row 0: id is 1.5; make all of them whole numbers"),
        (ROWS.assign(id=["a", None, "c"]), "row 1: id is (None|nan); make all of them"),
        (ROWS.assign(label=[0, 1, 3]), r"row 2 \(id 3\): the label 3 is none of the classes of first: 0 \(bad\), 1"),
        (ROWS.assign(label=[0, -1, 2]), r"row 1 \(id 2\): the label -1 is none"),
        (ROWS.assign(label=[0, 0.5, 2]), r"row 1 \(id 2\): the label 0.5 is none"),
        (ROWS.assign(label=[0, None, 2]), r"row 1 \(id 2\): the label nan is none"),
        (ROWS.assign(label=["bad", "great", "good"]), r"the label 'great' is none of the classes of first"),
        (ROWS.assign(label=[True, False, True]), r"row 0 \(id 1\): the label True is none"),
        (PAIRS.assign(answers=[[]]), r"row 0 \(id 0\): answers is \[\], not a text or a list of texts"),
        (PAIRS.assign(context=[""]), r"row 0 \(id 0\): context is '', not a text"),
        (PAIRS, "'.*first' is not a span checkpoint: it holds no qa_outputs"),
    ],
)
def test_files_that_cannot_be_recorded(own, tmp_path, capsys, rows, says):
    rows.to_parquet("bad.parquet")
    with pytest.raises(ValueError, match=says):
        record(cells(data="bad.parquet"), tmp_path / "r")
    assert command(tmp_path / "r", "--model", "first", "--data", "bad.parquet") == 2
    printed = capsys.readouterr().err
    assert printed.startswith("udig-lab: ")
    assert printed.count("\n") == 1


def test_texts_of_which_a_tokenizer_leaves_nothing(own, tmp_path):
    ROWS.drop(columns="label").assign(text=["fine", "dull", "\u200b"]).to_parquet("bad.parquet")
    with pytest.raises(ValueError, match=r"row 2 \(id 3\): the tokenizer of lab-sentiment finds nothing in the text"):
        record(cells("sst2", "bad.parquet"), tmp_path / "r")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "first"], "there are no texts to record; name --dataset, or a file with --data"),
        (["--data", "reviews.parquet"], "the file reviews.parquet needs a model that it is for"),
        (["--model", "first", "--data", "none.parquet"], "there is no file .*none.parquet; name one with a column"),
        (["--model", "first", "--data", "reviews.xlsx"], "reviews.xlsx is of no kind that is read here; name a file"),
        (["--model", "first", "--data", "first"], "first is of no kind that is read here"),
        (["--model", "first", "--data", "sst2.parquet"], "sst2.parquet is called as a data set of this book is"),
        (["--model", "first", "--data", ".csv"], "'.csv' has no name that records can take"),
        (["--model", "first", "--data", "reviews.parquet", "--dataset", "sst2"], "--dataset sst2 .* leave one of"),
        (["--model", "first", "--data", "reviews.parquet", "--profile", "lab"], "--profile lab .* leave one of them"),
        (["--model", "first", "--dataset", "sst2", "--profile", "paper"], "profile 'paper' has models of its own"),
        (["--model", "first", "--dataset", "squad"], "'.*first' is not a span checkpoint"),
        (["--model", "first", "--dataset", "trec"], "label . is none of the classes of first: .* the classes of trec"),
        (["--model", "squad", "--data", "reviews.parquet"], "holds texts, which lab-squad, a span model, is not for"),
        (["--model", "sst2", "--data", "asked.csv"], "holds questions with contexts, which lab-sentiment"),
        (["--model", "./none", "--data", "reviews.parquet"], r"there is no folder \./none; name one"),
        (["--model", "none", "--data", "reviews.parquet"], "unknown model 'none'"),
        (["--model", "", "--data", "reviews.parquet"], "model is ''; name a folder"),
        (["--model", "bare", "--data", "reviews.parquet"], "no whole checkpoint .* as its tokenizer is missing"),
        (["--model", "headless", "--data", "reviews.parquet"], "is not a classification checkpoint: it holds no"),
        (["--model", "single", "--data", "reviews.parquet"], "single has a single output and no classes"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(own, tmp_path, capsys, words, says):
    shutil.copytree("first", "bare")
    (own / "bare" / "tokenizer.json").unlink()
    if "headless" in words:
        write_model("headless", BertForMaskedLM)
    if "single" in words:
        write_model("single", num_labels=1)
    capsys.readouterr()  # the library's bars
    assert command(tmp_path / "r", *words) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert pd.Series([printed]).str.contains(f"^udig-lab: .*{says}").all(), printed
    assert not list((tmp_path / "r").rglob("*.parquet"))


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl"])
def test_damaged_files(own, tmp_path, name):
    Path(name).write_bytes(b'{"text": "a\xff')
    with pytest.raises(ValueError, match=rf"{name} is not a whole {Path(name).suffix} file \(.*write it again"):
        record(cells(data=name), tmp_path / "r")


def test_what_a_cell_cannot_say():
    with pytest.raises(ValueError, match="is recorded under its own name, not as 'other'; pass 'reviews'"):
        Cell("other", "ig", model="sst2", data="reviews.parquet")
    with pytest.raises(ValueError, match=r"profile 'mini' has data of its own, and reviews\.parquet is a file"):
        Cell("reviews", "ig", model="sst2", data="reviews.parquet", profile="mini")
    with pytest.raises(TypeError, match="model is 3; name a folder"):
        Cell("sst2", "ig", model=3)
    with pytest.raises(FileNotFoundError, match=r"make one with: udig-lab run --model … --data reviews.parquet"):
        recorded("reviews", profile="own", folder=Path("nowhere"))
