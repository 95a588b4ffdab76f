"""Memory, precision, nodes on demand, threads: what changes the work but must not change the numbers."""

import math

import pytest
import torch
from conftest import QUICK, SENTENCE

import udig_lab as ul
from udig_lab.model.batching import Budget

TEXTS = [SENTENCE, "quite dull", "the acting is wooden but the ending moved me"]


class Small:
    """A model that runs out of memory above so many tokens at once."""

    def __init__(self, model, tokens, error):
        self.tokens, self.seen = tokens, []
        self.error = error
        self.handle = model.model.register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, module, args, keywords):
        n, length = keywords["input_ids"].shape
        self.seen.append(n * length)
        if n * length > self.tokens:
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
    ],
    ids=["cuda", "cpu"],
)
@pytest.mark.parametrize("method", ["ig", "sig", "udig"])
def test_full_memory_halves_the_batches_and_nothing_else(lab, error, method):
    expected = ul.explain(lab, TEXTS, method=method, **QUICK[method])
    small = Small(lab, 60, error)
    try:
        found = ul.explain(lab, TEXTS, method=method, **QUICK[method])
    finally:
        small.handle.remove()
    assert max(small.seen) > 60
    assert sum(size > 60 for size in small.seen) < len(small.seen) / 2  # it remembers
    for a, b in zip(expected, found, strict=True):
        assert b.scores == pytest.approx(a.scores, abs=1e-5)


def test_memory_for_not_even_one_text(lab):
    small = Small(lab, 5, torch.OutOfMemoryError("CUDA out of memory"))
    try:
        with pytest.raises(MemoryError, match="one text alone does not fit into memory; shorten it with max_length"):
            ul.explain(lab, SENTENCE)
    finally:
        small.handle.remove()


def test_other_errors_are_not_mistaken_for_memory(lab):
    small = Small(lab, 60, RuntimeError("shapes do not fit"))
    try:
        with pytest.raises(RuntimeError, match="shapes do not fit"):
            ul.explain(lab, TEXTS)
    finally:
        small.handle.remove()


def test_a_budget_is_halved_for_good():
    budget, sizes = Budget(64), []

    def work(rows):
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > 3:
            raise MemoryError
        return torch.arange(rows.start, rows.stop)

    assert torch.equal(budget.run(work, 10), torch.arange(10))
    assert budget.tokens < 64
    assert sizes[0] == 10


@pytest.mark.parametrize("method", [m for m in QUICK if m not in ("random", "shapley_sampling", "deep_lift")])
def test_bfloat16_stays_close(lab, method):
    """Autocast rounds to eight bits: scores move by about a percent of the largest."""
    exact = torch.tensor(ul.explain(lab, SENTENCE, method=method, **QUICK[method]).scores)
    found = ul.explain(lab, SENTENCE, method=method, precision="bfloat16", **QUICK[method])
    rough = torch.tensor(found.scores)
    assert float((rough - exact).abs().max()) < 0.1 * float(exact.abs().max())
    reads_gradients = found.evaluations > 0
    assert bool((rough != exact).any()) == reads_gradients


def test_bfloat16_leaves_f_alone(lab):
    a, b = (ul.explain(lab, SENTENCE, precision=p, n_steps=4) for p in ("float32", "bfloat16"))
    assert (a.f_input, a.f_baseline) == (b.f_input, b.f_baseline)
    with pytest.raises(ValueError, match="unknown precision 'half'; choose one of float32, bfloat16"):
        ul.explain(lab, SENTENCE, precision="half")


@pytest.mark.parametrize("baseline", ["mask", "pad", "zero"])
@pytest.mark.parametrize("tolerance", [1.0, 0.1])
def test_the_adaptive_rule_stops_where_it_was_told(lab, baseline, tolerance):
    texts = ul.data.examples("sst2", limit=12)["text"].tolist()
    found = ul.explain(lab, texts, rule="adaptive", baseline=baseline, tolerance=tolerance, n_steps=400)
    assert all(a.delta_percent <= tolerance for a in found)
    assert len({a.evaluations for a in found}) > 1  # as many as each needs
    reference = ul.explain(lab, texts, baseline=baseline, n_steps=128)
    for a, b in zip(found, reference, strict=True):
        # Δ% bounds the sum of the scores; single scores are a little less exact.
        assert max(abs(p - q) for p, q in zip(a.scores, b.scores, strict=True)) < 0.06 * max(map(abs, b.scores))
    alone = ul.explain(lab, texts[3], rule="adaptive", baseline=baseline, tolerance=tolerance, n_steps=400)
    assert alone.evaluations == found[3].evaluations
    assert alone.scores == pytest.approx(found[3].scores, abs=1e-5)


def test_the_adaptive_rule_never_takes_more_than_it_may(lab):
    found = ul.explain(lab, TEXTS, rule="adaptive", tolerance=1e-6, n_steps=30)
    assert all(a.evaluations <= 30 for a in found)
    assert all(math.isfinite(a.delta_percent) for a in found)
    with pytest.raises(ValueError, match=r"needs a positive tolerance and n_steps >= 12, not 1\.0 and 5"):
        ul.explain(lab, TEXTS, rule="adaptive", n_steps=5)


@pytest.mark.parametrize("method", [m for m in QUICK if m != "ig2"])
def test_threads_and_order_change_nothing(lab, method):
    threads = torch.get_num_threads()
    found = []
    for n, texts in [(1, TEXTS), (2, TEXTS), (1, TEXTS[::-1])]:
        torch.set_num_threads(n)
        try:
            found.append(ul.explain(lab, texts, method=method, **QUICK[method]))
        finally:
            torch.set_num_threads(threads)
    for a, b, c in zip(found[0], found[1], found[2][::-1], strict=True):
        assert a.anchors == b.anchors == c.anchors
        assert b.scores == pytest.approx(a.scores, abs=1e-5)
        assert c.scores == pytest.approx(a.scores, abs=1e-5)


def test_the_bar_shows_on_request_only(lab, capsys):
    ul.explain(lab, TEXTS * 8, n_steps=1)
    assert capsys.readouterr().err == ""
    ul.explain(lab, TEXTS, n_steps=1, progress=True)
    assert "0/3" in capsys.readouterr().err
