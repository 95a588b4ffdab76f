"""The live page in a real browser: the package's numbers, speed, keyboard, phones, hostile input, missing parts."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from browser import CHROMIUM, DESK, MISSING, PHONE, context, serve, watch
from built import ROOT
from playwright.sync_api import Browser, BrowserContext, Page, expect
from test_browser import violations

import udig_lab as ul
from udig_lab.model.textmodel import TextModel

PAGE = "book/live.html"
SPEEDS = ROOT / "_build" / "live-speeds.json"
METHODS = {
    "gradient_x_input": {}, "ig": {"n_steps": 32}, "udig": {"n_steps": 32}, "sig": {}, "both_ends": {},
}  # fmt: skip
SENTENCES = [
    "i would not wish this film on my worst enemy .",
    "the second act drags , but what an ending !",
    "She plays the detective with a weary grace that I adored.",
    "two hours of people shouting in the rain",
    "my grandmother laughed until she cried .",
    "it is neither funny nor sad , only long .",
    "a clumsy script saved by a wonderful cast",
    "Why did nobody tell the director to stop?",
    "the photography is superb , the story is an insult .",
    "not bad at all .",
    "every joke arrives late and leaves early",
    "an honest , tender and very funny portrait of a village",
    "I fell asleep twice and regret waking up.",
    "this could have been a masterpiece ; it is merely good .",
    "watch it for the music , forgive it the rest",
    "hardly a scene goes by without a cliché .",
    "the 1973 original was better , and shorter .",
    "brilliant , if you like watching paint dry",
    "a quiet triumph from first frame to last .",
    "unbelievably , the sequel manages to be worse",
]
FIFTEEN = "the photography is superb , but the plot is an insult to everyone here ."  # and its two special tokens

pytestmark = [pytest.mark.skipif(not CHROMIUM, reason=MISSING), pytest.mark.xdist_group("live")]


@pytest.fixture(scope="module")
def book(html: Path) -> Path:
    manifest = json.loads((html / "_static" / "live" / "files" / "manifest.json").read_text(encoding="utf8"))
    if "missing" in manifest:
        pytest.skip(f"the book was built without the live model: {manifest['missing']}")
    return html


@pytest.fixture(scope="module")
def opened(chromium: Browser, address: str, book: Path) -> Iterator[tuple[Page, list[str]]]:
    """The page with the model loaded, on a desk, and what went wrong on it."""
    with context(chromium, address, DESK) as profile:
        page = profile.new_page()
        problems = watch(page, address)
        opening(page)
        explain(page, "good film")
        yield page, problems


@pytest.fixture
def page(opened: tuple[Page, list[str]]) -> Page:
    return opened[0]


def opening(page: Page, where: str = f"/{PAGE}") -> None:
    page.goto(where)
    expect(page.locator("[data-explorer=live]")).to_have_attribute("data-state", "live")


def ask(page: Page, text: str, **settings: str | int) -> None:
    """Write a text, choose, press the button; the former answer is gone then."""
    for value in (settings.get("method"), settings.get("baseline")):
        if value:
            page.locator(f"[data-explorer=live] label:has(input[value={value}])").click()
    page.locator("#ul-live-text").fill(text)
    page.evaluate("delete document.querySelector('.ul-result').dataset.answer")
    page.locator(".ul-go").click()


def settled(page: Page) -> None:
    """Wait for an answer or a complaint."""
    page.wait_for_function(
        "document.querySelector('.ul-result').dataset.answer || document.querySelector('.ul-trouble').textContent"
    )


def explain(page: Page, text: str, **settings: str | int) -> dict:
    """What the page computes, with all digits."""
    ask(page, text, **settings)
    settled(page)
    assert page.locator(".ul-trouble").inner_text() == ""
    return json.loads(page.evaluate("document.querySelector('.ul-result').dataset.answer"))


def complaint(page: Page, text: str) -> str:
    ask(page, text)
    settled(page)
    return page.locator(".ul-trouble").inner_text()


@pytest.fixture(scope="module")
def lab() -> TextModel:
    return ul.load("sst2")


def test_nothing_is_loaded_before_the_reader_asks(chromium: Browser, address: str, book: Path):
    with context(chromium, address, DESK) as profile:
        page = profile.new_page()
        asked: list[str] = []
        sizes: list[int] = []
        profile.on("request", lambda r: asked.append(r.url))
        profile.on("response", lambda r: "/live/" in r.url and sizes.append(int(r.headers.get("content-length", 0))))
        opening(page)
        assert [url for url in asked if "/live/" in url] == []
        explain(page, "good film")
        assert 20_000_000 < sum(sizes) < 30_000_000


def test_works_without_a_network_once_loaded(page: Page):
    page.context.set_offline(True)
    try:
        answer = explain(page, "a sentence that nobody prepared , with the cable pulled", method="ig")
    finally:
        page.context.set_offline(False)
    assert len(answer["tokens"]) == 12


@pytest.mark.parametrize("method", METHODS)
def test_same_numbers_as_the_package(page: Page, lab: TextModel, method: str, record_property):
    """Twenty sentences, typed; the package computes with the exact table."""
    correlations, same = [], 0
    for text, own in zip(SENTENCES, ul.explain(lab, SENTENCES, method=method, **METHODS[method]), strict=True):
        answer = explain(page, text, method=method, baseline="mask")
        assert answer["tokens"] == list(own.tokens)
        keep = [not fixed for fixed in own.special]
        both = pd.DataFrame({"page": answer["scores"], "package": own.scores})[keep]
        correlations.append(both.rank().corr().iloc[0, 1])  # Spearman's
        same += both["page"].idxmax() == both["package"].idxmax()
    mean = sum(correlations) / len(correlations)
    record_property("agreement", f"mean {mean:.4f}, least {min(correlations):.3f}, same top word {same}")
    assert mean >= 0.99
    assert same >= 19


@pytest.mark.parametrize("text", ["good", "not bad", *SENTENCES[:3]])
def test_both_ends_is_the_package_s(page: Page, lab: TextModel, text: str):
    """Forward passes of the same graph: no anchor and no near tie comes between; so every score is close."""
    answer = explain(page, text, method="both_ends", baseline="mask")
    own = ul.explain(lab, text, method="both_ends", baseline="mask")
    torch.testing.assert_close(
        torch.tensor(answer["scores"]), torch.tensor(own.scores, dtype=torch.float32), rtol=0.01, atol=0.01
    )
    moving = len(own.tokens) - 2
    assert f"{2 * moving + 2} forward passes" in page.locator(".ul-result").inner_text()


@pytest.mark.parametrize("baseline", ["pad", "zero"])
def test_other_baselines(page: Page, lab: TextModel, baseline: str):
    text = SENTENCES[0]
    answer = explain(page, text, method="ig", baseline=baseline)
    own = ul.explain(lab, text, method="ig", baseline=baseline, n_steps=32)
    torch.testing.assert_close(
        torch.tensor(answer["scores"]), torch.tensor(own.scores, dtype=torch.float32), rtol=0.02, atol=0.02
    )
    page.locator("[data-explorer=live] label:has(input[value=mask])").click()


def test_meter_and_steps(page: Page):
    """With many nodes IG's bar meets the mark; the slider has a say."""
    steps = page.locator("[data-explorer=live] input[type=range]")
    gaps = {}
    for key in ("Home", "End"):
        page.locator("[data-explorer=live] label:has(input[value=ig])").click()
        steps.press(key)
        explain(page, SENTENCES[0])
        said = page.locator(".ul-sum").inner_text().replace("−", "-")
        gaps[key] = abs(float(re.search(r"gap Δ ([-+]?\d+\.\d+)", said)[1]))
    assert gaps["End"] <= 0.01 < gaps["Home"]
    for _ in range(32):
        steps.press("ArrowLeft")
    expect(steps).to_have_value("32")


DISAGREED = "not a bad film at all"  # UDIG's scores sum to several times F(x) - F(x')


def test_a_wide_gap_gets_its_remark(page: Page, lab: TextModel):
    explain(page, DISAGREED, method="udig", baseline="mask")
    own = ul.explain(lab, DISAGREED, method="udig", n_steps=32)
    times = abs(own.delta) / abs(sum(own.scores) - own.delta)
    assert times > 3, "the sentence has lost its point"
    remark = page.locator(".ul-remark")
    expect(remark).to_have_class(re.compile("ul-wide"))
    said = float(re.search(r"gap is (\d+\.\d) times", remark.inner_text())[1])
    assert said == pytest.approx(times, rel=0.1)
    explain(page, SENTENCES[0], method="ig", baseline="mask")
    expect(page.locator(".ul-remark")).to_be_hidden()  # the scores add up: there is nothing to say
    explain(page, "good , good , so very good !", method="sig")
    expect(page.locator(".ul-remark")).to_contain_text("design")


def test_an_old_answer_says_so(page: Page):
    """Whatever changes in the question marks the answer; the same question again unmarks it."""
    explain(page, "a dull film", method="sig", baseline="mask")
    stale, result = page.locator(".ul-stale"), page.locator(".ul-result")
    expect(stale).to_be_hidden()

    def chosen(value: str) -> None:
        page.locator(f"[data-explorer=live] label:has(input[value={value}])").click()

    for change, back in (("ig", "sig"), ("both_ends", "sig"), ("pad", "mask")):
        chosen(change)
        expect(stale).to_contain_text("old answer, to SIG, baseline [MASK]")
        expect(result).to_have_class(re.compile("ul-old"))
        chosen(back)
        expect(stale).to_be_hidden()
    page.locator("#ul-live-text").fill("a dull film , really")
    expect(stale).to_contain_text("“a dull film”")
    explain(page, "a dull film , really")
    expect(stale).to_be_hidden()
    expect(result).not_to_have_class(re.compile("ul-old"))
    explain(page, "a dull film", method="ig")
    page.locator("[data-explorer=live] input[type=range]").press("ArrowRight")
    expect(stale).to_contain_text("32 steps")
    page.locator("[data-explorer=live] input[type=range]").press("ArrowLeft")
    expect(stale).to_be_hidden()


def shared(profile: BrowserContext, address: str, fragment: str) -> tuple[Page, list[str]]:
    """The page opened by a link, once it has answered."""
    page = profile.new_page()
    problems = watch(page, address)
    opening(page, f"/{PAGE}{fragment}")
    settled(page)
    return page, problems


def test_a_link_carries_the_question(page: Page, chromium: Browser, address: str):
    """What one reader sends, another opens: the same text, settings and scores, without a click."""
    text = "naïve & “witty” + 100 % #fun , isn't it ?"
    mine = explain(page, text, method="udig", baseline="pad")
    link = page.locator(".ul-share a").get_attribute("href")
    page.locator("[data-explorer=live] label:has(input[value=mask])").click()
    assert link.startswith("#text=")
    with context(chromium, address, DESK) as profile:
        asked: list[str] = []
        profile.on("request", lambda r: asked.append(r.url))
        other, problems = shared(profile, address, link)
        theirs = json.loads(other.evaluate("document.querySelector('.ul-result').dataset.answer"))
        assert theirs["scores"] == mine["scores"]
        assert other.locator("#ul-live-text").input_value() == text
        assert [other.locator(f"input[value={value}]").is_checked() for value in ("udig", "pad")] == [True, True]
        assert not [url for url in asked if "witty" in url]  # the sentence has not left the browser
        other.evaluate("location.hash = '#text=dull&method=sig&baseline=mask'")  # and a second link, in the same page
        expect(other.locator(".ul-sum")).to_be_visible()
        expect(other.locator(".ul-token")).to_have_text(["dull"])
        assert problems == []


@pytest.mark.parametrize(
    ("fragment", "method", "steps"),
    [
        ("#text=%3Cimg%20src%3Dx%20onerror%3D%22window.hacked%3D1%22%3E+good&method=sig", "sig", "32"),
        ("#text=good&method=%3Cb%3E&baseline=none&steps=1e9", "ig", "32"),
        ("#text=good&method=ig&steps=7", "ig", "7"),
        ("#text=good&method=constructor&baseline=__proto__&steps=-3", "ig", "32"),
        ("#text=%E0%A4%A&method=sig", "sig", "32"),
    ],
)  # fmt: skip
def test_a_hostile_link_is_text(chromium: Browser, address: str, book: Path, fragment: str, method: str, steps: str):
    with context(chromium, address, DESK) as profile:
        page, problems = shared(profile, address, fragment)
        assert page.evaluate("window.hacked === undefined")
        assert page.locator(".ul-explorer :is(img, script, b)").count() == 0
        assert page.locator(f"input[value={method}]").is_checked()
        assert page.locator("[data-explorer=live] input[type=range]").input_value() == steps
        assert problems == []


def test_other_fragments_ask_nothing(chromium: Browser, address: str, book: Path):
    """A link to a heading of the page, or a link without a text, loads no model."""
    with context(chromium, address, DESK) as profile:
        page = profile.new_page()
        asked: list[str] = []
        profile.on("request", lambda r: asked.append(r.url))
        for fragment in ("#explain-your-own-sentence", "#method=udig", "#text="):
            opening(page, f"/{PAGE}{fragment}")
            page.wait_for_timeout(300)
        assert [url for url in asked if "/live/" in url] == []


def test_anchors_are_those_of_the_package(page: Page, lab: TextModel):
    text = "gorgeous"
    explain(page, text, method="udig")
    shown = page.locator(".ul-anchors li").all_inner_texts()
    own = ul.explain(lab, text, method="udig", n_steps=32).anchors[1]
    assert len(shown) == 32
    assert len(set(shown) & set(own)) >= 24  # near ties may fall the other way, see test_live_model


def test_masking_a_word_asks_the_model_again(page: Page, lab: TextModel):
    explain(page, "a wonderful film", method="ig")
    page.locator(".ul-token", has_text="wonderful").click()
    verdict = page.locator(".ul-masking")
    expect(verdict).to_contain_text("the probability of")
    said = float(re.search(r"is (\d\.\d+);", verdict.inner_text())[1])
    with torch.no_grad():
        ids = lab.tokenizer("a [MASK] film", return_tensors="pt")
        own = lab.model(**ids).logits.softmax(-1)[0, 1]
    assert said == pytest.approx(float(own), abs=0.002)
    expect(page.locator(".ul-token[aria-pressed=true]")).to_have_count(1)


def test_keyboard_alone(page: Page):
    page.locator("#ul-live-text").fill("a dull film")
    page.evaluate("delete document.querySelector('.ul-result').dataset.answer")
    page.locator("#ul-live-text").press("Enter")
    settled(page)
    expect(page.locator("[data-explorer=live] [role=status]")).to_contain_text("The model says")
    word = page.locator(".ul-token", has_text="dull")
    expect(word).to_have_accessible_name(re.compile(r"dull, [+−]\d\.\d\d; mask"))
    word.focus()
    page.keyboard.press("Space")
    expect(word).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-explorer=live] [role=status]")).to_contain_text("masked")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_violation_in_an_answer(page: Page, scheme: str):
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    explain(page, FIFTEEN, method="udig")
    page.locator(".ul-token").nth(3).click()
    expect(page.locator(".ul-masking")).to_contain_text("masked")
    found = violations(page)
    page.locator("[data-explorer=live] label:has(input[value=sig])").click()
    expect(page.locator(".ul-stale")).to_be_visible()
    found += violations(page)
    page.emulate_media(color_scheme="light")
    assert found == []


def test_phone(chromium: Browser, address: str, book: Path):
    with context(chromium, address, PHONE) as profile:
        page = profile.new_page()
        opening(page)
        explain(page, "an unbelievably " + "long " * 20 + "film", method="udig")
        assert page.evaluate("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)") <= 390
        inside = "[...document.querySelectorAll('.ul-explorer *')].filter(e => e.getBoundingClientRect().right > 390)"
        assert page.evaluate(f"{inside}.map(e => e.tagName)") == []


TOO_SMALL = """() => {
    const found = [];
    const tapped = ".ul-explorer :is(button, select, textarea, summary, a, .ul-buttons label)";
    for (const e of document.querySelectorAll(tapped)) {
        const { width, height } = e.getBoundingClientRect();
        if (width && (height < 43.9 || width < 43.9)) found.push(`${e.textContent}: ${width} x ${height}`);
    }
    return found;
}"""


def test_fingers_find_every_word(chromium: Browser, address: str, book: Path):
    """On a phone, whatever is tapped is at least 44 pixels wide and high, the comma too, and no two overlap."""
    with context(chromium, address, PHONE) as profile:
        page = profile.new_page()
        opening(page)
        explain(page, "I , a fan , was bored ; not a bad film .", method="udig")
        assert page.locator(".ul-token").count() == 13
        assert page.evaluate(TOO_SMALL) == []
        boxes = [word.bounding_box() for word in page.locator(".ul-token").all()]
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                apart = a["x"] + a["width"] <= b["x"] + 0.1 or b["x"] + b["width"] <= a["x"] + 0.1
                assert apart or a["y"] + a["height"] <= b["y"] + 0.1 or b["y"] + b["height"] <= a["y"] + 0.1


WATCH_PAUSES = """() => {
    let last = performance.now();
    window.longest = 0;
    setInterval(() => {
        const now = performance.now();
        window.longest = Math.max(window.longest, now - last);
        last = now;
    }, 10);
}"""


def test_speed_is_recorded_and_the_page_stays_free(chromium: Browser, address: str, book: Path):
    """Times are written down, not judged: that they hold on a quiet machine, the record shows."""
    with context(chromium, address, DESK) as profile:
        page = profile.new_page()
        opening(page)
        page.evaluate(WATCH_PAUSES)
        begin = time.perf_counter()
        first = explain(page, "good")
        speeds = {"load and first answer": time.perf_counter() - begin, "first": first["seconds"]}
        for method in METHODS:
            begin = time.perf_counter()
            answer = explain(page, FIFTEEN, method=method)
            assert len(answer["tokens"]) == 17
            speeds[method] = time.perf_counter() - begin
        speeds["longest pause of the page"] = page.evaluate("window.longest") / 1000
    SPEEDS.parent.mkdir(exist_ok=True)
    SPEEDS.write_text(json.dumps({k: round(v, 3) for k, v in speeds.items()}, indent=1) + "\n", encoding="utf8")
    assert speeds["longest pause of the page"] < min(1.0, speeds["udig"])


def test_a_newer_question_ends_an_older_one(page: Page):
    ask(page, " ".join(SENTENCES[:8]), method="udig")
    answer = explain(page, "good", method="ig")
    assert answer["tokens"] == ["[CLS]", "good", "[SEP]"]
    page.wait_for_timeout(500)  # nothing of the older one may come after it
    assert page.locator(".ul-token").count() == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "nothing to explain"), ("   \n ", "nothing to explain"), ("[MASK] [SEP]", "nothing to explain"),
        ("a" * 10_000, "10000 characters"), ("so good " * 240, "480 tokens"),
    ],
)  # fmt: skip
def test_what_cannot_be_explained_is_said(page: Page, text: str, says: str):
    assert says in complaint(page, text)
    assert page.locator(".ul-token").count() == 0


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script> good",
        "😀🎬👍 wonderful 🤷‍♀️", "فيلم رائع and great", "שלום film", "电影很好 good", "\u202egood\u202c \u0000 bad",
        "supercalifragilisticexpialidocious antidisestablishmentarianism", "naïve café Ångström İstanbul ß ﬁ",
        "don't  you\tdare... \"quote\" it’s — fine", "a" * 150, "9" * 120, "&lt;b&gt; &amp; ${1+1} {{7*7}}",
    ],
)  # fmt: skip
def test_hostile_text_is_text(opened: tuple[Page, list[str]], lab: TextModel, text: str):
    """No script runs, nothing freezes, and the tokens are those of the package's tokenizer."""
    page, problems = opened
    answer = explain(page, text, method="sig")
    assert answer["tokens"] == lab.tokenizer.convert_ids_to_tokens(lab.tokenizer(text.strip()).input_ids)
    assert page.evaluate("window.hacked === undefined")
    assert page.locator(".ul-result :is(img, script, b)").count() == 0
    assert problems == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("files/table.bin", "table.bin is missing"), ("files/manifest.json", "files are missing from this copy"),
        ("delete globalThis.WebAssembly", "no WebAssembly"), ("delete globalThis.DecompressionStream", "too old"),
        ("worker.js", "could not be started"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(chromium: Browser, book: Path, tmp_path: Path, broken: str, says: str):
    """In a copy of the book that lacks a file, or whose worker lacks something that an old browser has not."""
    copy = tmp_path / "book"
    shutil.copytree(book, copy, ignore=shutil.ignore_patterns("notebooks", "_sources", "mathjax"))
    live = copy / "_static" / "live"
    if broken.startswith("delete"):
        worker = live / "worker.js"
        worker.write_text(f"{broken};\n{worker.read_text(encoding='utf8')}", encoding="utf8")
    else:
        (live / broken).unlink()
    with serve(copy) as where, context(chromium, where, DESK) as profile:
        page = profile.new_page()
        opening(page)
        assert says in complaint(page, "good film")
        page.locator("[data-explorer=live] summary").click()
        expect(page.locator("[data-explorer=live] table").first).to_be_visible()
