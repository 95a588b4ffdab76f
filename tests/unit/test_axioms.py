"""The axioms of Sundararajan et al. 2017 and their kin, on small random networks in double precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import udig_lab as ul

WIDTH, ROWS, CLASSES = 3, 40, 2
COMPLETE = {
    "ig": {"n_steps": 64},
    "dig": {"n_steps": 6, "n_neighbors": 10, "rule": "trapezoid", "factor": 6},
    "udig": {"n_steps": 6, "n_neighbors": 10, "rule": "trapezoid", "factor": 6},
    "permutations": {"n_samples": 2},
    "shapley_sampling": {"n_samples": 4},
}
LINEAR = COMPLETE | {
    "gradient_x_input": {},
    "sig": {},
    "both_ends": {},
    "owen": {},
    "gradient_shap": {},
    "deep_lift": {},
}
LINEAR.pop("deep_lift")  # rescales each nonlinearity for itself
TABLE = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


class Net(nn.Module):
    """Words of one text -> logits, through one smooth layer that mixes all positions."""

    def __init__(self, seed, length, ignored=None, hidden=6):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.embedding = nn.Embedding.from_pretrained(TABLE.clone(), freeze=False)
        first = torch.randn(length, WIDTH, hidden, generator=g, dtype=torch.float64) / 2
        if ignored is not None:
            first[ignored] = 0
        self.first = nn.Parameter(first)
        self.last = nn.Parameter(torch.randn(hidden, CLASSES, generator=g, dtype=torch.float64))

    def forward(self, ids):
        return torch.tanh(torch.einsum("nld,ldh->nh", self.embedding(ids), self.first)) @ self.last


class Combined(nn.Module):
    """a F + b G over one shared embedding table."""

    def __init__(self, f, g, a, b):
        super().__init__()
        self.embedding, self.parts, self.factors = f.embedding, nn.ModuleList([f, g]), (a, b)
        g.embedding = f.embedding

    def forward(self, ids):
        return sum(c * part(ids) for c, part in zip(self.factors, self.parts, strict=True))


def explain(model, ids, method, target=0, **more):
    embedding = model.embedding
    keywords = LINEAR[method] | more
    return ul.explain(
        ul.TextModel(model, embedding=embedding),
        input_ids=ids,
        special_ids=[],
        baseline=0,
        target=target,
        method=method,
        **keywords,
    )


texts = st.lists(st.integers(1, ROWS - 1), min_size=2, max_size=5)
seeds = st.integers(0, 2**31)
quick = settings(deadline=None, max_examples=12)


@pytest.mark.parametrize("method", COMPLETE)
@quick
@given(seed=seeds, ids=texts)
def test_completeness(method, seed, ids):
    found = explain(Net(seed, len(ids)), ids, method)
    tolerance = {"ig": 1e-9, "shapley_sampling": 1e-6}.get(method, 5e-3)  # captum adds up in float32
    assert abs(found.delta) < tolerance * (1 + abs(found.f_input - found.f_baseline))


@pytest.mark.parametrize("method", LINEAR)
@quick
@given(seed=seeds, ids=texts, data=st.data())
def test_dummy(method, seed, ids, data):
    """A position F does not depend on scores nothing."""
    ignored = data.draw(st.integers(0, len(ids) - 1))
    found = explain(Net(seed, len(ids), ignored=ignored), ids, method)
    assert found.scores[ignored] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("method", [*COMPLETE, "sig"])
@quick
@given(seed=seeds, word=st.integers(1, ROWS - 1))
def test_sensitivity(method, seed, word):
    """If one token differs from the baseline and F changes with it, that token scores; here F has but one token."""
    found = explain(Net(seed, 1), [word], method)
    change = found.f_input - found.f_baseline
    if abs(change) > 1e-3:
        assert found.scores[0] == pytest.approx(change, rel=0.05, abs=1e-3)


@pytest.mark.parametrize("method", LINEAR)
@quick
@given(seed=seeds, ids=texts, a=st.floats(-2, 2), b=st.floats(-2, 2))
def test_linearity(method, seed, ids, a, b):
    """Scores of a F + b G are a times those of F plus b times those of G: paths do not look at F."""
    f, g = Net(seed, len(ids)), Net(seed + 1, len(ids))
    nets = [f, g, Combined(f, g, a, b)]
    *alone, both = (torch.tensor(explain(net, ids, method).scores, dtype=torch.float64) for net in nets)
    tolerance = 1e-6 if method == "shapley_sampling" else 1e-9  # captum adds up in float32
    torch.testing.assert_close(both, a * alone[0] + b * alone[1], atol=tolerance, rtol=1e-6)


@pytest.mark.parametrize("method", LINEAR)
@quick
@given(seed=seeds, ids=texts)
def test_implementation_invariance(method, seed, ids):
    """The same function built otherwise (hidden units reordered and doubled at half strength) scores the same."""
    net, other = Net(seed, len(ids)), Net(seed, len(ids), hidden=6)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        other.first = nn.Parameter(torch.cat([net.first, net.first[..., order]], dim=-1))
        other.last = nn.Parameter(torch.cat([net.last, net.last[order]]) / 2)
    expected = explain(net, ids, method).scores
    assert explain(other, ids, method).scores == pytest.approx(expected, abs=1e-6 if "shapley" in method else 1e-9)


@pytest.mark.parametrize("method", ["ig", "udig", "sig"])
@quick
@given(seed=seeds, ids=texts)
def test_symmetry(method, seed, ids):
    """Equal words at positions that F treats alike score alike."""
    net = Net(seed, len(ids) + 1)
    with torch.no_grad():
        net.first[-1] = net.first[0]
    found = explain(net, [*ids, ids[0]], method)
    assert found.scores[0] == pytest.approx(found.scores[-1], abs=1e-9)
