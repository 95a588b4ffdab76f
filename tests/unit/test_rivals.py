"""IDGI and Guided IG against closed forms, and against what their authors' programs do, written out."""

import math

import pytest
import torch
from torch import nn

import udig_lab as ul

TEXTS = ["dull but witty", "a gorgeous , witty , seductive movie ."]


class Plane(nn.Module):
    """Two words of one number each, 0 on the baseline and 1 in the text; F is any function of the two."""

    def __init__(self, f):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.tensor([[0.0], [1.0]], dtype=torch.float64), freeze=False)
        self.f = f

    def forward(self, ids):
        x = self.embedding(ids)[..., 0]  # (n, 2)
        value = self.f(x[:, 0], x[:, 1])
        return torch.stack([value, -value], dim=1)


def explain(f, method, **settings):
    model = Plane(f)
    made = ul.TextModel(model, embedding=model.embedding)
    ids = {"input_ids": torch.tensor([1, 1]), "special_ids": []}
    return ul.explain(made, **ids, baseline=0, target=0, method=method, **settings)


def test_idgi_of_a_linear_function():
    """Gradients (3, 4) everywhere: the change of 7 in parts 9 : 16."""
    a = explain(lambda x, y: 3 * x + 4 * y, "idgi", n_steps=5)
    assert a.scores == pytest.approx([7 * 9 / 25, 7 * 16 / 25], abs=1e-12)
    assert (a.evaluations, a.forwards) == (5, 4)


def test_idgi_is_its_published_sum():
    """F = x + y²/2: gradients (1, t) on the line; the sum written out, and its limit."""
    n = 7
    t = [k / n for k in range(n + 1)]
    change = [(t[k + 1] - t[k]) + (t[k + 1] ** 2 - t[k] ** 2) / 2 for k in range(n)]
    second = sum(d * s**2 / (1 + s**2) for d, s in zip(change, t[:-1], strict=True))
    a = explain(lambda x, y: x + y**2 / 2, "idgi", n_steps=n)
    assert a.scores == pytest.approx([1.5 - second, second], abs=1e-12)
    fine = explain(lambda x, y: x + y**2 / 2, "idgi", n_steps=2000)
    assert fine.scores[1] == pytest.approx(1 - math.pi / 4 + (1 - math.log(2)) / 2, abs=1e-3)


def test_idgi_is_complete_on_a_model(lab64):
    for a in ul.explain(lab64, TEXTS, method="idgi", n_steps=6):
        assert a.delta == pytest.approx(0, abs=1e-9)
        assert a.scores[0] == a.scores[-1] == 0
    every = ul.explain(lab64, TEXTS[0], method="idgi", n_steps=6, target="all")
    for c, a in enumerate(every):
        alone = ul.explain(lab64, TEXTS[0], method="idgi", n_steps=6, target=c)
        assert a.scores == pytest.approx(alone.scores, abs=1e-9)
    one = ul.explain(lab64, TEXTS[0], method="idgi", n_steps=1)
    assert (one.evaluations, one.forwards) == (1, 0)


def test_guided_ig_takes_the_smaller_gradient_first():
    """F = x + 2 y + x y: the slope of x is 1 until it has arrived, then y has 3; IG halves the interaction."""
    f = lambda x, y: x + 2 * y + x * y  # noqa: E731
    free = explain(f, "guided_ig", n_steps=8, max_dist=1.0)
    assert free.scores == pytest.approx([1, 3], abs=1e-9)
    assert (free.evaluations, free.forwards) == (8, 0)


def test_guided_ig_without_freedom_is_ig_with_the_left_rule(lab64):
    for text in TEXTS:
        found = ul.explain(lab64, text, method="guided_ig", n_steps=9, max_dist=0.0)
        expected = ul.explain(lab64, text, method="ig", n_steps=9, rule="left")
        assert found.scores == pytest.approx(expected.scores, abs=1e-9)


def published(gradient, end, steps, fraction, max_dist):
    """Guided IG from 0 to end by the steps of the authors' description, one coordinate after the other."""
    n, total = len(end), sum(map(abs, end))
    x, scores = [0.0] * n, [0.0] * n
    for step in range(steps):
        g, alpha = gradient(x), (step + 1) / steps
        low, high = ([e * a for e in end] for a in (max(alpha - max_dist, 0), min(alpha + max_dist, 1)))
        old, target = list(x), total * (1 - alpha)
        while True:
            x = [lo if v / e < max(alpha - max_dist, 0) else v for v, e, lo in zip(x, end, low, strict=True)]
            now = sum(abs(e - v) for v, e in zip(x, end, strict=True))
            if math.isclose(now, target, rel_tol=1e-9, abs_tol=1e-9):
                break
            sizes = [math.inf if v == h else abs(s) for v, h, s in zip(x, high, g, strict=True)]
            threshold = sorted(sizes)[math.floor(fraction * (n - 1))]
            chosen = [s <= threshold and s < math.inf for s in sizes]
            room = sum(abs(h - v) for v, h, c in zip(x, high, chosen, strict=True) if c)
            gamma = (now - target) / room if room else math.inf
            part = min(gamma, 1.0)
            x = [h if c and part == 1 else v + part * (h - v) * c for v, h, c in zip(x, high, chosen, strict=True)]
            if gamma <= 1:
                break
        scores = [s + (v - o) * slope for s, v, o, slope in zip(scores, x, old, g, strict=True)]
    return scores


@pytest.mark.parametrize("max_dist", [0.05, 0.3, 1.0])
def test_guided_ig_is_its_published_walk(max_dist):
    def f(x, y):
        return torch.tanh(2 * x) + x * y + y**2

    def gradient(p):
        return [2 / math.cosh(2 * p[0]) ** 2 + p[1], p[0] + 2 * p[1]]

    found = explain(f, "guided_ig", n_steps=11, fraction=0.25, max_dist=max_dist)
    assert found.scores == pytest.approx(published(gradient, [1.0, 1.0], 11, 0.25, max_dist), abs=1e-9)


def test_a_batch_equals_a_loop(lab64):
    settings = {"method": "guided_ig", "n_steps": 6, "max_dist": 0.2}
    for text, a in zip(TEXTS, ul.explain(lab64, TEXTS, **settings), strict=True):
        assert a.scores == pytest.approx(ul.explain(lab64, text, **settings).scores, abs=1e-9)


def test_bad_settings_are_refused(lab64):
    for method in ("idgi", "guided_ig"):
        with pytest.raises(ValueError, match=f"{method} needs n_steps >= 1, not 0"):
            ul.explain(lab64, TEXTS[0], method=method, n_steps=0)
    with pytest.raises(ValueError, match=r"fraction above 0 and up to 1 and a max_dist from 0 to 1, not 0.0 and 0.02"):
        ul.explain(lab64, TEXTS[0], method="guided_ig", fraction=0.0)
    with pytest.raises(ValueError, match=r"not 0.25 and 1.5"):
        ul.explain(lab64, TEXTS[0], method="guided_ig", max_dist=1.5)
