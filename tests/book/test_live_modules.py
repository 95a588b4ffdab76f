"""The page's small modules against the package's functions of the same names, one by one."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from browser import CHROMIUM, DESK, MISSING, context
from playwright.sync_api import Browser, Page

from udig_lab.methods.anchors import udig_anchors
from udig_lab.model.vocabulary import Vocabulary
from udig_lab.paths import monotone, polyline, straight, upscale
from udig_lab.quadrature import segment_rule

pytestmark = [pytest.mark.skipif(not CHROMIUM, reason=MISSING), pytest.mark.xdist_group("live-modules")]


@pytest.fixture(scope="module")
def page(chromium: Browser, address: str) -> Iterator[Page]:
    with context(chromium, address, DESK) as profile:
        page = profile.new_page()
        page.goto("/robots.txt")
        yield page


def call(page: Page, module: str, body: str, *given: object) -> object:
    """Run some lines with a module `m` of the page and `given`."""
    script = f"async (given) => {{ const m = await import('/_static/live/{module}.js'); {body} }}"
    return page.evaluate(script, list(given))


def close(found: object, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float32), expected.float(), rtol=1e-5, atol=1e-6)


@pytest.fixture
def numbers() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("rule", ["gauss_legendre", "midpoint"])
@pytest.mark.parametrize("n", [1, 2, 5, 32, 64])
def test_segment_rule(page: Page, rule: str, n: int):
    found = call(
        page, "quadrature", "const q = m.segmentRule(...given); return [[...q.nodes], [...q.weights]];", rule, n
    )
    np.testing.assert_allclose(found, np.stack([q.numpy() for q in segment_rule(rule, n)]), atol=1e-13)


def test_unknown_rule(page: Page):
    said = call(page, "quadrature", "try { m.segmentRule('simpson', 3) } catch (e) { return e.message }")
    assert "gauss_legendre" in said


def test_straight(page: Page, numbers: torch.Generator):
    x, start = torch.randn(2, 3, 4, generator=numbers)
    body = """const [x, start] = given.map((rows) => Float32Array.from(rows));
        const p = m.straight(x, start, { nSteps: 5, rule: "gauss_legendre" });
        return [p.points, p.weights].map((all) => all.map((one) => [...one]));"""
    found = call(page, "paths", body, x.flatten().tolist(), start.flatten().tolist())
    own = straight(x, start, n_steps=5, rule="gauss_legendre")
    close(found, torch.stack([own.points, own.weights]).flatten(2))


def test_monotone_upscale_polyline(page: Page, numbers: torch.Generator):
    anchors, baseline = torch.randn(6, 8, generator=numbers), torch.randn(8, generator=numbers)
    body = """const rows = given[0].map((row) => Float32Array.from(row));
        const bent = m.upscale(m.monotone(rows, Float32Array.from(given[1])), 2);
        const p = m.polyline(bent);
        return [p.points, p.weights].map((all) => all.map((one) => [...one]));"""
    found = call(page, "paths", body, anchors.tolist(), baseline.tolist())
    own = polyline(upscale(monotone(anchors[None], baseline), 2)[0], rule="left")
    close(found, torch.stack([own.points, own.weights]))


@pytest.fixture
def words(numbers: torch.Generator) -> tuple[list[list[int]], list[float], Vocabulary]:
    """A table of 300 rows as the page has it, and as the package has it."""
    codes = torch.randint(-2000, 2000, (300, 12), generator=numbers)
    scales = (torch.rand(300, generator=numbers) + 0.5) / 2000
    return codes.flatten().tolist(), scales.tolist(), Vocabulary(codes * scales[:, None])


TABLE = "const v = new {}Vocabulary(Int16Array.from(given[0]), Float32Array.from(given[1]), String);"


def test_nearest_on_segment(page: Page, words):
    codes, scales, vocabulary = words
    positions = [0.0, 0.25, 0.6, 1.0]
    body = (
        f"{TABLE.format('m.')} return v.nearestOnSegment(v.distances(v.row(3)), v.distances(v.row(7)), given[2], 9);"
    )
    found = call(page, "vocabulary", body, codes, scales, positions)
    table = vocabulary.table
    own = vocabulary.nearest_on_segments(table[3:4], table[7:8], torch.tensor(positions), 9)
    assert found == own[0].tolist()


@pytest.mark.parametrize(("steps", "neighbours"), [(1, 1), (8, 20), (30, 50)])
def test_udig_anchors(page: Page, words, steps: int, neighbours: int):
    codes, scales, vocabulary = words
    body = f"""const {{ Vocabulary }} = await import("/_static/live/vocabulary.js"); {TABLE.format("")}
        const baseline = v.row(5);
        const search = {{ nSteps: given[2], nNeighbors: given[3], atBaseline: v.distances(baseline) }};
        return [10, 20, 30].map((id) => m.udigAnchors(v, id, baseline, 5, search));"""
    found = call(page, "anchors", body, codes, scales, steps, neighbours)
    own = udig_anchors(
        vocabulary, torch.tensor([10, 20, 30]), vocabulary.table[5:6], baseline_ids=torch.tensor([5, 5, 5]),
        n_steps=steps, n_neighbors=neighbours, strategy="greedy",
    )  # fmt: skip
    assert found == own.tolist()
