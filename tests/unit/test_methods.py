"""Each method against captum, a closed form, or a direct evaluation of its definition."""

import captum.attr
import numpy as np
import pytest
import torch
from conftest import GOLDEN, SENTENCE
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import udig_lab as ul
from udig_lab.methods.counterfactual import _Descent, gradpath
from udig_lab.methods.trees import spans

WEIRD = "unputdownable nonsense , really"


def scores(model, text, **keywords):
    return torch.tensor(ul.explain(model, text, **keywords).scores, dtype=torch.float64)


def f_of(model, target):
    return lambda embeddings: model.model(inputs_embeds=embeddings).logits[:, target]


def ends(model, text, baseline="mask"):
    """Explicand (1, L, D), baseline (1, L, D) and the predicted class, without the package's own machinery."""
    ids = torch.tensor(model.tokenizer(text)["input_ids"])
    special = torch.tensor([i in model.tokenizer.all_special_ids for i in ids.tolist()])
    x = model.table[ids]
    row = model.table[model.tokenizer.convert_tokens_to_ids(f"[{baseline.upper()}]")]
    with torch.no_grad():
        target = int(model.model(inputs_embeds=x[None]).logits.argmax())
    return x[None], torch.where(special[:, None], x, row)[None], target


# SIG


def test_sig_per_token_is_captums_ig_with_the_rest_in_place(lab64):
    x, b, target = ends(lab64, SENTENCE)
    found = scores(lab64, SENTENCE, method="sig", rule="gauss_legendre", n_steps=20)
    for token in range(1, x.shape[1] - 1):
        alone = x.clone()
        alone[0, token] = b[0, token]
        expected = captum.attr.IntegratedGradients(f_of(lab64, target)).attribute(
            x, alone, n_steps=20, method="gausslegendre"
        )
        torch.testing.assert_close(found[token], expected.sum().detach(), atol=1e-6, rtol=0)


def test_sigs_closed_form_is_the_limit_of_its_quadrature(lab64):
    exact = scores(lab64, SENTENCE, method="sig")
    gaps = [
        float((scores(lab64, SENTENCE, method="sig", rule="gauss_legendre", n_steps=n) - exact).abs().max())
        for n in (2, 8, 64)
    ]
    assert gaps[2] < 1e-6 < gaps[1] < gaps[0]


def test_sigs_closed_form_leaves_one_out(lab64):
    x, b, target = ends(lab64, SENTENCE)
    found = ul.explain(lab64, SENTENCE, method="sig")
    assert (found.evaluations, found.forwards) == (0, len(found) - 1)
    for token in range(1, len(found) - 1):
        without = x.clone()
        without[0, token] = b[0, token]
        with torch.no_grad():
            change = f_of(lab64, target)(x) - f_of(lab64, target)(without)
        assert found.scores[token] == pytest.approx(float(change), abs=1e-9)


@pytest.mark.parametrize("method", ["sequential_dig", "sequential_udig"])
def test_sequential_paths_tend_to_sig(lab64, method):
    exact = scores(lab64, "quite dull", method="sig")
    gaps = [
        float(
            (scores(lab64, "quite dull", method=method, rule="trapezoid", factor=f, n_steps=6, n_neighbors=20) - exact)
            .abs()
            .max()
        )
        for f in (0, 5)
    ]
    assert gaps[1] < 0.02 * gaps[0]


def test_lazy_blocks_are_the_whole(lab):
    integral = ul.trace(lab, "quite dull", method="sig", rule="left", n_steps=3).integral
    points, weights = integral.points, integral.weights
    assert points.shape == (6, 4, 384)
    for first, last in [(0, 1), (2, 5), (5, 6)]:
        block = integral.block(first, last)
        assert torch.equal(block[0], points[first:last])
        assert torch.equal(block[1], weights[first:last])
    assert (weights.abs().sum(-1) > 0).sum() == 6


# IG2


def test_gradpath_and_its_scores_are_the_published_ones():
    golden = np.load(GOLDEN / "ig2.npz")
    # In double precision: float32 alone moves the path's end by 1e-4, where the first reference's gradient turns.
    w1, w2, x, references = (torch.tensor(golden[n]).double() for n in ("w1", "w2", "x", "references"))
    steps, eta, target = int(golden["steps"]), float(golden["step_size"]), int(golden["target"])

    def hidden(points):
        return torch.tanh(points.flatten(1) @ w1)

    def away(points):
        return torch.autograd.grad(nn.functional.mse_loss(hidden(points), hidden(references)), points)[0]

    path = gradpath(away, x.expand(3, -1, -1), n_steps=steps, step_size=eta, clip=tuple(golden["clip"]))
    torch.testing.assert_close(path, torch.tensor(golden["path"]), atol=1e-5, rtol=0, check_dtype=False)
    points = path[:-1].clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad((hidden(points.flatten(0, 1)) @ w2)[:, target].sum(), points)
    found = ((path[:-1] - path[1:]) * gradient).sum(0).mean(0)
    torch.testing.assert_close(found, torch.tensor(golden["attribution"]), atol=1e-5, rtol=0, check_dtype=False)


def test_ig2_walks_to_the_references_representation(lab):
    keywords = {"method": "ig2", "n_steps": 40, "step_size": 0.1, "references": ["a dull , tedious mess ."]}
    trace = ul.trace(lab, SENTENCE, **keywords)
    assert trace.attribution.f_baseline < 0 < trace.attribution.f_input  # GradCF is of the other class
    lengths = trace.integral.weights.flatten(1).norm(dim=1)
    assert float(lengths.max()) <= 0.1 + 1e-5
    assert float(trace.integral.weights[:, [0, -1]].abs().max()) == 0  # special tokens stand still
    assert trace.attribution.baseline == "gradcf"
    torch.testing.assert_close(trace.integral.weights.sum(0), trace.explicand - trace.baseline, atol=1e-5, rtol=0)
    assert trace.attribution.evaluations == 80  # 40 to find the path, 40 along it
    assert ul.explain(lab, SENTENCE, **keywords).scores == pytest.approx(trace.attribution.scores, abs=1e-5)


def test_a_descent_goes_on_block_by_block():
    walks = []

    def begin():
        walks.append(0)
        return iter(torch.arange(6.0)[:, None, None, None].expand(6, 2, 3, 1) ** 2)  # T = 5, R = 2

    path = _Descent(begin, 5, 2)
    points, weights = path.points[:, 0, 0], path.weights[:, 0, 0]
    assert points.tolist() == [0, 0, 1, 1, 4, 4, 9, 9, 16, 16]
    assert weights.tolist() == [-0.5, -0.5, -1.5, -1.5, -2.5, -2.5, -3.5, -3.5, -4.5, -4.5]
    assert path.baselines.shape == (2, 3, 1)
    assert float(path.baselines[0, 0]) == 25
    for size in (1, 3, 4):
        walks.clear()
        blocks = [path.block(k, min(k + size, 10)) for k in range(0, 10, size)]
        assert torch.equal(torch.cat([p for p, _ in blocks])[:, 0, 0], points)
        assert torch.equal(torch.cat([w for _, w in blocks])[:, 0, 0], weights)
        assert len(walks) == 1


def test_ig2_completeness_is_first_order_in_the_step(lab64):
    errors = []
    for halvings in (0, 2):
        found = ul.explain(
            lab64,
            "quite dull",
            method="ig2",
            n_steps=20 * 2**halvings,
            step_size=0.08 / 2**halvings,
            references=[SENTENCE],
        )
        errors.append(abs(found.delta))
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("layer", ["bert.encoder.layer.1", "bert.encoder.layer.0"])
def test_ig2_from_another_layer(lab, layer):
    keywords = {"method": "ig2", "n_steps": 4, "references": ["a mess"]}
    other = ul.explain(lab, SENTENCE, layer=layer, **keywords)
    assert other.scores != ul.explain(lab, SENTENCE, **keywords).scores


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"references": []}, "references is empty"),
        ({"references": "dull"}, "references is empty or a single string"),
        ({"references": ["wonderful , moving"]}, r"every reference the class that is explained \(positive\)"),
        ({"references": ["dull"], "layer": "head"}, "unknown layer 'head'"),
        ({"references": ["dull"], "step_size": 0}, "positive step_size"),
    ],
)
def test_bad_settings_of_ig2(lab, keywords, message):
    with pytest.raises(ValueError, match=message):
        ul.explain(lab, SENTENCE, method="ig2", **keywords)


def test_references_may_be_token_ids(lab):
    texts = ["a dull , tedious mess .", "dull"]
    ids = [lab.tokenizer(text).input_ids for text in texts]
    keywords = {"method": "ig2", "n_steps": 4, "step_size": 0.1}
    expected = ul.explain(lab, SENTENCE, references=texts, **keywords).scores
    for given in (ids, [np.array(row) for row in ids], tuple(map(tuple, ids))):
        assert ul.explain(lab, SENTENCE, references=given, **keywords).scores == expected
    bare = ul.TextModel(lab.model)
    own = {"input_ids": lab.tokenizer(SENTENCE).input_ids, "special_ids": lab.tokenizer.all_special_ids, "baseline": 0}
    trace = ul.trace(bare, references=ids, **own, **keywords)
    assert trace.attribution.scores == pytest.approx(expected, abs=1e-6)
    for references, error, message in [
        (texts, ValueError, "need a tokenizer"),
        (ids[0], ValueError, "references is one sequence of token ids"),
        ([texts[0], ids[1]], TypeError, "references mixes texts and token ids"),
        ([[len(lab.table)]], ValueError, "outside the vocabulary"),
    ]:
        with pytest.raises(error, match=message):
            ul.explain(bare, references=references, **own, **keywords)


def test_ig2_of_a_linear_representation_is_ig_from_the_reference():
    """A table of numbers is a sequence as well; where h is the input, GradPath goes straight to the reference."""

    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.numbers = nn.Embedding.from_pretrained(torch.linspace(-2, 2, 41)[:, None].double())
            self.last = nn.Linear(5, 2, bias=False).double()
            self.last.weight.data = torch.tensor([[1.0, -2.0, 0.5, 0.0, 1.5]]).double() * torch.tensor([[-1.0], [1.0]])

        def forward(self, ids):
            return self.last(self.numbers(ids)[..., 0])

    x, z = [30, 10, 25, 3, 33], [12, 24, 20, 30, 15]  # of the two classes
    model = ul.TextModel(Linear())
    table, way = model.table[:, 0], (model.table[x] - model.table[z]).norm()
    keywords = {"input_ids": x, "special_ids": [], "baseline": "zero"}
    trace = ul.trace(model, method="ig2", references=[z], n_steps=10, step_size=float(way) / 10, **keywords)
    assert trace.attribution.target == 1
    torch.testing.assert_close(trace.baseline, model.table[z])
    due = model.model.last.weight[1].detach() * (table[x] - table[z])
    torch.testing.assert_close(torch.tensor(trace.attribution.scores), due, check_dtype=False)


def test_a_trace_is_of_one_text(lab):
    with pytest.raises(ValueError, match="these are 2 texts"):
        ul.trace(lab, ["dull", "good"])


def test_a_reference_that_is_the_text_itself(lab):
    with pytest.raises(ValueError, match="same representation as the text"):
        ul.explain(lab, SENTENCE, method="ig2", target="negative", references=[SENTENCE])


# IDG

PARSE = "(S (NP (DT the) (NN acting)) (VP (VBZ is) (ADJP (JJ wooden))) (. .))"
TEXT = "The acting is wooden ."


def test_idg_of_a_group_is_its_definition_evaluated_directly(lab64):
    """The directional derivative along z_S, integrated along the straight line."""
    x, b, target = ends(lab64, TEXT)
    f = f_of(lab64, target)
    found = ul.explain(lab64, TEXT, method="idg", tree=PARSE, n_steps=24)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    for group in found.groups:
        z = torch.zeros_like(x)
        z[:, group.start : group.end] = (x - b)[:, group.start : group.end]
        z /= z.norm()
        direct = 0.0
        for t, w in zip((nodes + 1) / 2, weights / 2, strict=True):
            with sdpa_kernel(SDPBackend.MATH):  # the fused attention has no second derivative
                _, slope = torch.autograd.functional.jvp(f, b + t * (x - b), z)
            direct += w * float(slope)
        assert group.idg == pytest.approx(direct, abs=1e-7)


@pytest.mark.parametrize("dimensions", [True, False])
@pytest.mark.parametrize("tree", [PARSE, None, [["the", "acting"], ["is", "wooden"], "."]])
def test_values_are_shares_that_grow_with_the_group(lab, tree, dimensions):
    found = ul.explain(lab, TEXT, method="idg", tree=tree, dimensions=dimensions, n_steps=8)
    groups = found.groups
    assert max(g.value for g in groups) == pytest.approx(1)
    assert all(0 <= g.dividend <= g.value <= 1 + 1e-9 for g in groups)
    for a in groups:
        for c in groups:
            if a.start <= c.start and c.end <= a.end:
                assert c.value <= a.value + 1e-12
    if not dimensions:
        assert sum(g.dividend for g in groups) == pytest.approx(1)
    assert found.total == pytest.approx(sum(ul.explain(lab, TEXT, n_steps=8).scores), abs=1e-5)


def test_a_group_equal_to_its_baseline_scores_zero(lab):
    found = ul.explain(lab, "wooden [MASK] acting", method="idg", n_steps=8)
    assert all(np.isfinite(g.value) for g in found.groups)


def test_groups_are_found_by_their_letters(lab):
    from udig_lab.model.inputs import encode

    (encoding,) = encode(["Unputdownable (really) , not good ."], lab.tokenizer, limit=None, truncate=False)
    tree = "(S (JJ unputdownable) (PRN (-LRB- -LRB-) (RB really) (-RRB- -RRB-)) (, ,) (X (RB not) (JJ good)) (. .))"
    found = {label: encoding.tokens[a:b] for a, b, label in spans(tree, encoding)}
    assert found["X"] == ("not", "good")
    assert found["PRN"] == ("(", "really", ")")
    assert "".join(t.removeprefix("##") for t in found["JJ"]) == "unputdownable"
    default = {encoding.tokens[a:b] for a, b, label in spans(None, encoding) if label in ("2-gram", "clause")}
    assert default >= {("not", "good"), ("really",)} - {("really",)}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ("(S (NP the acting) (VP was wooden) .)", "the tree goes on with 'waswooden.' where the text has 'iswooden.'"),
        ("(S the acting", "brackets of this tree do not match"),
        (7, "a tree is a bracketed parse or nested lists of words, not int"),
        ([], "a tree is a bracketed parse"),
    ],
)
def test_trees_that_do_not_fit(lab, tree, message):
    with pytest.raises(ValueError, match=message):
        ul.explain(lab, TEXT, method="idg", tree=tree)


def test_one_tree_for_each_text(lab):
    found = ul.explain(lab, [TEXT, "quite dull"], method="idg", tree=[PARSE, None], n_steps=4)
    assert {"NP", "VP"} < {g.label for g in found[0].groups}
    with pytest.raises(ValueError, match="1 trees were given for 2 texts"):
        ul.explain(lab, [TEXT, TEXT], method="idg", tree=[PARSE])


# The others


def test_gradient_x_input_is_captums_with_the_zero_baseline(lab):
    x, _, target = ends(lab, SENTENCE)
    expected = captum.attr.InputXGradient(f_of(lab, target)).attribute(x.clone().requires_grad_(True))
    found = scores(lab, SENTENCE, method="gradient_x_input", baseline="zero")
    moving = slice(1, -1)  # captum's moves special tokens as well
    torch.testing.assert_close(found[moving], expected.sum(-1)[0, moving].double().detach(), atol=1e-5, rtol=0)


def test_deep_lift_on_a_network_it_is_complete_for():
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(20, 4)
            self.first, self.act, self.last = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)

        def forward(self, ids):
            return self.last(self.act(self.first(self.embedding(ids))).sum(1))

    torch.manual_seed(0)
    found = ul.explain(Small().double(), input_ids=[3, 4, 5], special_ids=[], baseline=1, method="deep_lift")
    assert found.delta == pytest.approx(0, abs=1e-9)
    assert abs(found.f_input - found.f_baseline) > 1e-3


def test_shapley_values_are_complete_and_find_a_product():
    """F = product of two tokens' first numbers: each gets half of what both do together."""

    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding.from_pretrained(torch.tensor([[0.0], [2.0], [3.0]]).double(), freeze=False)

        def forward(self, ids):
            x = self.embedding(ids)[..., 0]
            return torch.stack([x[:, 0] * x[:, 1], -x[:, 0] * x[:, 1]], dim=1)

    found = ul.explain(
        Product(), input_ids=[1, 2], special_ids=[], baseline=0, method="shapley_sampling", n_samples=2000
    )
    assert sum(found.scores) == pytest.approx(6)
    assert found.scores[0] == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize("method", ["gradient_shap", "expected_gradients"])
def test_random_points_average_to_the_integral(lab64, method):
    settings = {"n_samples": 1000} | ({"baselines": ("mask",)} if method == "expected_gradients" else {})
    sampled = scores(lab64, "quite dull", method=method, **settings)
    torch.testing.assert_close(sampled, scores(lab64, "quite dull", n_steps=64), atol=0.25, rtol=0)


def test_expected_gradients_start_at_the_mean_of_their_baselines(lab):
    found = ul.explain(lab, "quite dull", method="expected_gradients", baselines=("pad", "zero"), n_samples=4)
    alone = [ul.explain(lab, "quite dull", baseline=b, n_steps=1).f_baseline for b in ("pad", "zero")]
    assert found.f_baseline == pytest.approx(sum(alone) / 2, abs=1e-5)
    with pytest.raises(ValueError, match="at least one baseline"):
        ul.explain(lab, "quite dull", method="expected_gradients", baselines=())


def test_noise_is_added_to_words_only(lab):
    integral = ul.trace(lab, "quite dull", method="gradient_shap", stdev=0.1, n_samples=4).integral
    assert float(integral.weights[:, [0, -1]].abs().max()) == 0
    assert not torch.equal(integral.weights[0], integral.weights[1])


def test_random_points_are_the_same_in_blocks_of_any_size(lab64):
    # In double precision: a processor's kernel may add in another order for another block, and other points would not.
    keywords = {"method": "gradient_shap", "stdev": 0.1, "n_samples": 11}
    expected = scores(lab64, "quite dull", **keywords)
    for size in (1, 4):
        torch.testing.assert_close(scores(lab64, "quite dull", internal_batch_size=size, **keywords), expected)


def test_captum_that_is_not_installed(lab, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with pytest.raises(ImportError, match="deep_lift is computed by captum, which is not installed"):
        ul.explain(lab, SENTENCE, method="deep_lift")


def test_methods_without_a_path_cannot_be_traced(lab):
    with pytest.raises(ValueError, match=r'sig follows no path with these settings.*rule="gauss_legendre"'):
        ul.trace(lab, SENTENCE, method="sig")
    with pytest.raises(ValueError, match="random follows no path"):
        ul.trace(lab, SENTENCE, method="random")


def test_every_path_through_words_names_them(lab):
    for method in ("dig", "udig", "sequential_dig", "sequential_udig"):
        for candidates in ("all", "words"):
            found = ul.explain(lab, WEIRD, method=method, candidates=candidates, n_steps=5, n_neighbors=30, factor=0)
            for token, path in zip(found.tokens[1:-1], found.anchors[1:-1], strict=True):
                assert path[0] == token
                assert len(path) == 6
                assert len(set(path)) == 6


@pytest.mark.parametrize(
    "method", ["gradient_shap", "expected_gradients", "shapley_sampling", "kernel_shap", "lime", "random"]
)
def test_a_seed_decides_what_is_drawn(lab, method):
    settings = {"n_samples": 9} if method != "random" else {}
    first, again, other = (
        ul.explain(lab, SENTENCE, method=method, seed=seed, **settings).scores for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other
