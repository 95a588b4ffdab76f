"""The live page's model against PyTorch: the exported graph, its weights, the table, and what they weigh."""

import gzip
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from live import LIMIT
from live_model import COARSE, FINE, quantised
from onnx import numpy_helper
from torch import Tensor

import udig_lab as ul
from udig_lab.model.textmodel import TextModel

pytestmark = pytest.mark.xdist_group("live-model")  # one graph, run through once

N = 200
Run = tuple[Tensor, Tensor]  # logits (C,), gradient (L, D)


def unpacked(file: Path) -> bytes:
    planes = np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8)
    content = np.empty_like(planes)
    half = (len(planes) + 1) // 2
    content[::2], content[1::2] = planes[:half], planes[half:]
    return content.tobytes()


@pytest.fixture(scope="module")
def files(html: Path) -> Path:
    folder = html / "_static" / "live" / "files"
    if "missing" in json.loads((folder / "manifest.json").read_text(encoding="utf8")):
        pytest.skip("the book was built without the packages of the live page")
    return folder


@pytest.fixture(scope="module")
def graph(files: Path) -> onnx.ModelProto:
    return onnx.load_model_from_string(unpacked(files / "model.bin"))


@pytest.fixture(scope="module")
def table(files: Path) -> Tensor:
    """(V, D) as the page reads it."""
    content = unpacked(files / "table.bin")
    config = json.loads((files / "config.json").read_text(encoding="utf8"))
    size, width = config["vocab_size"], config["hidden_size"]
    codes = np.frombuffer(content, np.int16, size * width).reshape(size, width)
    scales = np.frombuffer(content, np.float32, size, offset=2 * size * width)
    return torch.from_numpy(codes.astype(np.float32) * scales[:, None])


@pytest.fixture(scope="module")
def lab() -> TextModel:
    return ul.load("sst2")


@pytest.fixture(scope="module")
def ids(lab: TextModel) -> list[list[int]]:
    texts = [t for corpus in ("sst2", "rotten_tomatoes", "imdb") for t in ul.data.examples(corpus).text]
    return [lab.tokenizer(text, truncation=True, max_length=128).input_ids for text in texts[:N]]


@pytest.fixture(scope="module")
def expected(lab: TextModel, ids: list[list[int]]) -> list[Run]:
    found = []
    for row in ids:
        x = lab.table[row].requires_grad_(True)
        logits = lab.model(inputs_embeds=x[None]).logits[0]
        (gradient,) = torch.autograd.grad(logits.max(), x)
        found.append((logits.detach(), gradient))
    return found


def run(graph: onnx.ModelProto, table: Tensor, ids: list[list[int]], expected: list[Run]) -> list[Run]:
    """The exported graph on all texts, each for the class that PyTorch predicts."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), settings)
    found = []
    for row, (logits, _) in zip(ids, expected, strict=True):
        feed = {
            "embeddings": table[row][None].numpy(),
            "attention_mask": np.ones((1, len(row)), np.int64),
            "target": np.eye(len(logits), dtype=np.float32)[int(logits.argmax())],
        }
        scored, gradient = session.run(["logits", "gradient"], feed)
        found.append((torch.from_numpy(scored[0]), torch.from_numpy(gradient[0])))
    return found


def errors(found: list[Run], expected: list[Run]) -> tuple[float, float]:
    """The largest relative error, in the Euclidean norm, of logits and of gradients."""
    pairs = [
        [float((a - b).norm() / b.norm()) for a, b in zip(f, e, strict=True)]
        for f, e in zip(found, expected, strict=True)
    ]
    logits, gradients = zip(*pairs, strict=True)
    return max(logits), max(gradients)


def test_graph_gives_logits_and_gradients(graph, lab, ids, expected, record_property):
    logits, gradients = errors(run(graph, lab.table, ids, expected), expected)
    record_property("graph", f"logits {logits:.1e}, gradients {gradients:.1e}")
    assert len(expected) == N
    assert logits < 1e-3
    assert gradients < 1e-3


def test_eight_bits_would_not_do(graph, lab, ids, expected):
    """Why weights take 16 bits: with 8, each row on its own scale, gradients miss the mark."""
    coarse = onnx.ModelProto()
    coarse.CopyFrom(graph)
    for weight in coarse.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float16 and values.ndim == 2:
            scale = np.abs(values.astype(np.float32)).max(0) / 127
            rounded = (np.round(values / scale) * scale).astype(np.float16)
            weight.CopyFrom(numpy_helper.from_array(rounded, weight.name))
    assert errors(run(coarse, lab.table, ids[:20], expected[:20]), expected[:20])[1] > 1e-3


def test_weights_are_those_of_the_checkpoint(graph, lab):
    """Half precision loses nothing: the checkpoint holds no other numbers."""
    stored = [numpy_helper.to_array(weight) for weight in graph.graph.initializer]
    for name in ("intermediate", "output"):
        own = getattr(lab.model.bert.encoder.layer[0], name).dense.weight.detach().numpy()
        ways = [w for one in stored for w in (one, one.T) if w.dtype == np.float16 and w.shape == own.shape]
        assert any((w.astype(np.float32) == own).all() for w in ways)


def test_top_word_with_the_table_of_the_page(graph, table, lab, ids, expected):
    """Gradient x input for the page's table: same verdict, same top word."""
    mask = lab.tokenizer.mask_token_id
    same = 0
    for row, (_, g), (_, h) in zip(ids, expected, run(graph, table, ids, expected), strict=True):
        exact = (g * (lab.table[row] - lab.table[mask])).sum(1)[1:-1]
        page = (h * (table[row] - table[mask])).sum(1)[1:-1]
        same += int(exact.argmax() == page.argmax())
    assert same >= 0.98 * N


def test_graph_takes_any_batch_and_a_mask(graph, lab):
    ids = lab.tokenizer(["a gorgeous , witty , seductive movie .", "dull ."], padding=True, return_tensors="pt")
    x = lab.table[ids.input_ids].requires_grad_(True)
    logits = lab.model(inputs_embeds=x, attention_mask=ids.attention_mask).logits
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), x)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    feed = {
        "embeddings": x.detach().numpy(),
        "attention_mask": ids.attention_mask.numpy(),
        "target": np.float32([1, 0]),
    }
    found = session.run(["logits", "gradient"], feed)
    torch.testing.assert_close(torch.from_numpy(found[0]), logits.detach(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(found[1]), gradient, rtol=1e-3, atol=1e-4)


def test_table_is_close(table, lab):
    error = (table - lab.table).abs().amax(1) / lab.table.abs().amax(1)  # (V,)
    assert error.max() <= 0.5001 / COARSE
    assert int((error <= 0.51 / FINE).sum()) >= 2000


def test_zero_rows_survive():
    codes, scales = quantised(torch.zeros(3, 4))
    assert not codes.any()
    assert np.isfinite(scales).all()


def test_download_is_small(files: Path):
    manifest = json.loads((files / "manifest.json").read_text(encoding="utf8"))
    sizes = {
        f.name: f.stat().st_size for f in files.iterdir() if f.suffix not in (".txt", "") and f.name != "manifest.json"
    }
    assert manifest["bytes"] == sum(sizes.values()) < LIMIT
    for name in ("onnxruntime-web", "tokenizers"):
        assert "ermission" in (files / f"{name}.LICENSE.txt").read_text(encoding="utf8")
