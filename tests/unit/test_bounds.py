"""The oracle against every set of tokens there is, and against what methods select."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

import udig_lab as ul
from udig_lab.faithfulness.bounds import METRICS, oracle
from udig_lab.faithfulness.erasure import how_many, units
from udig_lab.model.protocol import PROTOCOLS

SHORT = ["a quiet , moving film", "unputdownable nonsense", "dull"]
ALL = 10**6  # a width that no search of these texts reaches
RIVALS = ("gradient_x_input", "ig", "udig", "sig", "random")


@pytest.fixture(scope="module")
def explained(lab):
    return ul.explain(lab, SHORT, method="random")


@pytest.fixture(scope="module")
def corpus(lab):
    """Twelve texts of which two tokens are chosen, explained by several methods."""
    texts = [text for text in ul.data.examples("sst2").text if len(text.split()) in (8, 9, 10)][:12]
    quick = {"ig": {"n_steps": 4}, "udig": {"n_steps": 4, "n_neighbors": 5}}
    return {name: ul.explain(lab, texts, method=name, **quick.get(name, {})) for name in RIVALS}


@pytest.fixture(scope="module")
def small():
    """A random classifier, quick to read, and random texts of it in which tokens interact."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    net = BertForSequenceClassification(BertConfig(vocab_size=80, max_position_embeddings=20, **sizes)).double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(8)
    ids = [[1, *torch.randint(4, 80, (8,)).tolist(), 2] for _ in range(12)]
    return net, ul.explain(net, input_ids=ids, special_ids=[0, 1, 2, 3], baseline=3, method="random")


def by_hand(metric, model, attribution, positions, protocol, replacement="mask"):
    """The metric for a set of positions: scores that put it first, judged by ``metrics``."""
    scores = [1.0 if i in positions else -1.0 for i in range(len(attribution))]
    made = replace(attribution, scores=tuple(scores))
    top = len(positions) / len(units(attribution, PROTOCOLS[protocol]))
    keywords = {"replacement": replacement} if metric == "log_odds" else {}
    return float(getattr(ul.metrics, metric)(model, [made], top=top, protocol=protocol, **keywords)[0])


def better(metric):
    return max if metric == "comprehensiveness" else min


@torch.no_grad()
def every_set(metric, lab, a, k):
    """The best value over all sets of k tokens that are not special, without the package's metrics."""
    inner = [i for i, fixed in enumerate(a.special) if not fixed]
    ids = list(a.input_ids)

    def p(row):
        return lab.model(torch.tensor([row])).logits.softmax(-1)[0, a.target]

    before, values = p(ids), []
    for chosen in combinations(inner, k):
        if metric == "log_odds":
            values.append(p([103 if i in chosen else t for i, t in enumerate(ids)]).log() - before.log())
        elif metric == "comprehensiveness":
            values.append(before - p([t for i, t in enumerate(ids) if i not in chosen]))
        else:  # special tokens stay
            values.append(before - p([t for i, t in enumerate(ids) if i in chosen or a.special[i]]))
    return better(metric)(values)


@pytest.mark.parametrize("metric", METRICS)
def test_a_wide_search_finds_the_best_of_all_sets(lab, explained, metric):
    tops = (0.2, 0.6, 1.0)
    found = oracle(lab, explained, metric=metric, tops=tops, width=ALL, shortlist=ALL)
    assert found.shape == (3, 3)
    for i, a in enumerate(explained):
        n = len(a) - 2
        for j, top in enumerate(tops):
            k = max(1, int(top * n + 0.5))
            assert float(found[j, i]) == pytest.approx(float(every_set(metric, lab, a, k)), abs=1e-5)


@pytest.mark.parametrize("protocol", ["as_published", "eraser"])
@pytest.mark.parametrize("metric", METRICS)
def test_a_wide_search_under_the_other_protocols(lab, explained, metric, protocol):
    rules = PROTOCOLS[protocol]
    found = oracle(lab, explained, metric=metric, tops=(0.4,), protocol=protocol, width=ALL, shortlist=ALL)[0]
    for i, a in enumerate(explained):
        groups = units(a, rules)
        k = how_many(0.4, len(groups), rules)
        sets = [{p for group in chosen for p in group} for chosen in combinations(groups, k)]
        if protocol == "as_published":  # every token for itself, special ones too
            values = [by_hand(metric, lab, a, chosen, protocol) for chosen in sets]
        else:
            values = []
            for chosen in combinations(groups, k):
                scores = [1.0 if any(i in g for g in chosen) else -9.0 for i in range(len(a))]
                made = replace(a, scores=tuple(scores))
                call = getattr(ul.metrics, metric)
                keywords = {"replacement": "mask"} if metric == "log_odds" else {}
                values.append(float(call(lab, [made], top=0.4, protocol=protocol, **keywords)[0]))
        assert float(found[i]) == pytest.approx(better(metric)(values), abs=1e-5)


def test_all_tokens_at_once_suffice(lab, explained):
    """What is kept always comes with the special tokens, so that keeping all is the text itself."""
    assert oracle(lab, explained, metric="sufficiency", tops=(1.0,)).abs().max() < 1e-5


def test_replacements_are_those_of_the_metrics(lab, explained):
    for metric in METRICS:
        for token in ("pad", "the", "delete"):
            found = oracle(lab, explained[2:], metric=metric, tops=(1.0,), replacement=token)
            single = getattr(ul.metrics, metric)(lab, explained[2:], top=1.0, replacement=token)
            torch.testing.assert_close(found[0], single, atol=1e-5, rtol=0)
    usual = oracle(lab, explained, tops=(0.4,))
    torch.testing.assert_close(usual, oracle(lab, explained, tops=(0.4,), replacement="delete"))


def test_span_models_are_masked(explained):
    qa = ul.load("squad")
    rows = ul.data.examples("squad")
    shortest = rows.iloc[[(rows.context.str.len() + rows.question.str.len()).argmin()]]
    found = ul.explain(qa, ul.data.texts(shortest), method="random", output="start")
    a = found[0]
    singles = []
    for place in [i for i, fixed in enumerate(a.special) if not fixed]:
        made = replace(a, scores=tuple(float(i == place) for i in range(len(a))))
        singles.append(made)
    one = 1.0 / len(singles)
    together = ul.metrics.comprehensiveness(qa, singles, top=one)
    best = oracle(qa, found, tops=(one,))
    assert float(best) == pytest.approx(float(together.max()), abs=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_on_average_no_method_does_better(lab, corpus, metric):
    """The beam can miss the best set of a single text; means over a corpus do not show it."""
    best = oracle(lab, corpus["ig"], metric=metric, tops=(0.2,)).mean()
    sign = 1 if metric == "comprehensiveness" else -1
    for name, explained in corpus.items():
        own = getattr(ul.metrics, metric)(lab, explained).mean()
        assert sign * float(best - own) > (0.05 if name == "random" else -1e-6), name


def test_scores_play_no_part(lab, corpus):
    first, second = (oracle(lab, corpus[name][:4]) for name in ("ig", "random"))
    assert torch.equal(first, second)


@pytest.mark.parametrize("metric", METRICS)
def test_wider_is_better_on_average(small, metric):
    net, explained = small
    sign = 1 if metric == "comprehensiveness" else -1
    keywords = {"metric": metric, "tops": (0.5,), "replacement": 3}
    narrow, wider, widest, best = (
        sign * float(oracle(net, explained, width=w, **keywords).mean()) for w in (1, 3, 9, ALL)
    )
    assert narrow < wider < widest <= best + 1e-6


def test_the_shortlist_is_of_the_best_single_tokens(small):
    """Width and shortlist 1 leave no choice: the k tokens that do best alone."""
    net, explained = small
    keywords = {"tops": (0.5,), "replacement": 3, "width": 1}
    found = oracle(net, explained, shortlist=1, **keywords)[0]
    for a, value in zip(explained, found, strict=True):
        inner = [i for i, fixed in enumerate(a.special) if not fixed]
        singles = [replace(a, scores=tuple(float(i == place) for i in range(len(a)))) for place in inner]
        drops = iter((-ul.metrics.log_odds(net, singles, top=1 / len(inner), replacement=3)).tolist())
        alone = replace(a, scores=tuple(0.0 if fixed else next(drops) for fixed in a.special))
        own = ul.metrics.comprehensiveness(net, [alone], top=0.5, replacement=3)
        assert float(value) == pytest.approx(float(own), abs=1e-5)
    assert float((oracle(net, explained, shortlist=16, **keywords)[0] - found).abs().max()) > 1e-3


def test_shares_in_any_order(lab, explained):
    forth, back = oracle(lab, explained, tops=(0.2, 0.6)), oracle(lab, explained, tops=(0.6, 0.2))
    torch.testing.assert_close(forth, back.flip(0))


def test_no_token_at_all(lab, explained):
    """As published, a fifth of three tokens is none: nothing changes."""
    for metric in METRICS:
        found = oracle(lab, explained[2:], metric=metric, tops=(0.2,), protocol="as_published")
        assert float(found.abs().max()) < 1e-6


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"metric": "aopc"}, "unknown metric 'aopc'; choose one of comprehensiveness, sufficiency, log_odds"),
        ({"width": 0}, "the search needs width and shortlist of at least 1, not 0 and 16"),
        ({"shortlist": 0}, "the search needs width and shortlist of at least 1, not 3 and 0"),
        ({"tops": (20,)}, "top=20 is not a share of the tokens"),
        ({"tops": ()}, "there is no share of the tokens to judge by"),
        ({"protocol": "mine"}, "unknown protocol 'mine'"),
        ({"replacement": "zero"}, "the replacement must be a token, not 'zero'"),
    ],
)
def test_bad_settings_are_named(lab, explained, keywords, message):
    with pytest.raises(ValueError, match=message):
        oracle(lab, explained, **keywords)


def test_an_empty_list_is_named(lab):
    with pytest.raises(ValueError, match="there are no attributions to judge"):
        oracle(lab, [])
