"""What the book calls methods and metrics, and tables that call them so."""

import re

import pandas as pd

from udig_lab.experiments.ledger import published
from udig_lab.experiments.naming import METRICS, PAPERS, in_words, shown, title
from udig_lab.experiments.tables import BY, better, summary


def test_titles():
    names = ("ig", "udig_maxcount", "deep_lift", "deeplift", "random", "oracle", "idg", "enhanced_ig", "mask")
    assert [title(v) for v in names] == [
        "IG",
        "UDIG (maxcount)",
        "DeepLIFT",
        "DeepLIFT",
        "Random scores",
        "Oracle",
        "IDG",
        "Enhanced IG",
        "mask",
    ]


def test_metrics_in_words():
    assert in_words("comprehensiveness_20") == "comprehensiveness, 20 %"
    assert in_words("log_odds_mask_05") == "log-odds, mask, 5 %"
    assert in_words("aopc_sufficiency") == "AOPC of sufficiency"
    assert in_words("wae") == "word approximation error"
    assert in_words("n") == "n"


def test_the_books_metrics_and_variants_are_those_of_the_published_tables():
    assert [better(m) for m in METRICS] == [1, -1, -1]
    kinds = {f"{m}_{k}" for m, k in published()[["metric", "top_k_percent"]].dropna().itertuples(index=False)}
    assert {m.replace("_mask", "") for m in METRICS} <= {k.removesuffix(".0") for k in kinds}
    assert set(PAPERS) - {"random", "oracle"} <= set(published()["method"])


def cells(html):
    """Texts of the cells of a table, and its caption."""
    inside = [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[dh]\b.*?</t[dh]>", html, re.DOTALL)]
    return [cell for cell in inside if cell != "&nbsp;"], re.findall(r"<caption>(.*?)</caption>", html)


def test_a_table_is_shown_with_names_and_dashes():
    rows = pd.DataFrame({"variant": ["ig", "deep_lift"] * 20, "baseline": "mask", "protocol": "as_published"})
    rows = rows.assign(wae=0.5, log_odds_mask_20=[-1.0, None] * 20)
    table = summary(rows, ["wae", "log_odds_mask_20"], by=("protocol", *BY))
    found, captions = cells(shown(table, "Lower is closer").to_html())
    assert captions == ["Lower is closer"]
    assert found == [
        *("word approximation error", "log-odds, mask, 20 %", "n"),
        *("protocol", "method", "baseline"),
        *("as_published", "IG", "mask", "0.500 [0.500, 0.500]", "-1.000 [-1.000, -1.000]", "20"),
        *("DeepLIFT", "mask", "0.500 [0.500, 0.500]", "–", "20"),
    ]
    assert table.index[0] == ("as_published", "ig", "mask"), "the table itself is left as it was"


def test_an_empty_table_is_one_line(capsys):
    rows = pd.DataFrame(columns=["variant", "baseline", "wae"])
    assert shown(summary(rows, ["wae"]), "ERASER, whole words") is None
    assert shown(rows) is None
    assert capsys.readouterr().out == "nothing recorded: ERASER, whole words\nnothing recorded\n"


def test_a_caption_may_be_left_out():
    table = pd.DataFrame({"wae": [0.5]}, index=pd.Index(["udig_greedy"], name="variant"))
    assert cells(shown(table).to_html()) == (
        ["word approximation error", "method", "UDIG (greedy)", "0.500000"],
        [],
    )
