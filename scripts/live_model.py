"""The lab model as files for a browser: one ONNX graph with its gradient, the embedding table, the tokenizer.

Browsers run inference, not autograd. So the gradient is traced into the graph: `make_fx` records the forward pass and
`torch.autograd.grad` as one straight list of operations, which is exported like any other.

All numbers shrink by ways that a few lines of JavaScript undo (`book/_static/live/packed.js`):

- Weights are stored as float16 with a cast to float32 behind each. The checkpoint holds half-precision numbers, so
  nothing is lost; 8-bit weights would be half the size, but miss 1e-3 (`tests/book/test_live_model.py` measures both).
- Rows of the table become whole numbers with a scale each: 16 bits for the shortest rows, 11 for the others. Paths of
  UDIG pass where the shortest rows lie close together, and with coarser ones they choose other anchors.
- Files are `packed`: the even bytes of the content, then the odd ones, then gzip. The high bytes of 16-bit numbers are
  much alike, and only next to each other does gzip see it.
"""

import gzip
import logging
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from transformers import AutoModelForSequenceClassification

SHORT, FINE, COARSE = 2_000, 32_767, 1_100  # so many of the shortest rows have FINE levels, the others COARSE
INPUTS, OUTPUTS = ["embeddings", "attention_mask", "target"], ["logits", "gradient"]


def assets(checkpoint: Path) -> dict[str, bytes]:
    """The model's files for the page, by name."""
    model = read(checkpoint)
    codes, scales = quantised(model.get_input_embeddings().weight.detach())
    tokenizer = (checkpoint / "tokenizer.json").read_bytes()
    return {
        "model.bin": packed(halved(export(model)).SerializeToString()),
        "table.bin": packed(codes.tobytes() + scales.tobytes()),
        "tokenizer.bin": gzip.compress(tokenizer, 9, mtime=0),
        "tokenizer_config.json": (checkpoint / "tokenizer_config.json").read_bytes(),
        "config.json": (checkpoint / "config.json").read_bytes(),
    }


def read(checkpoint: Path) -> Any:
    """The classifier, ready to be traced."""
    model = AutoModelForSequenceClassification.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval().requires_grad_(False)


class WithGradient(nn.Module):
    """Word embeddings -> logits, and the gradient of their product with a target vector."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, embeddings: Tensor, attention_mask: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (n, L, D), mask (n, L) int64, target (C,) -> logits (n, C), gradient (n, L, D)."""
        embeddings = embeddings.detach().requires_grad_(True)
        logits = self.model(inputs_embeds=embeddings, attention_mask=attention_mask).logits
        (gradient,) = torch.autograd.grad((logits * target).sum(), embeddings)
        return logits.detach(), gradient


def export(model: Any) -> onnx.ModelProto:
    """One ONNX graph for any number of sequences of any length."""
    config = model.config
    example = (
        torch.zeros(8, 12, config.hidden_size),
        torch.ones(8, 12, dtype=torch.int64),
        torch.zeros(config.num_labels),
    )
    n, length = torch.export.Dim("n", min=1), torch.export.Dim("L", min=2, max=config.max_position_embeddings)
    axes = ({0: n, 1: length}, {0: n, 1: length}, None)
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)  # it reports every operator of torchvision, which nothing here uses
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself
            graph = make_fx(WithGradient(model), tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
            program = torch.onnx.export(
                torch.export.export(graph, example, dynamic_shapes=axes),
                dynamo=True, input_names=INPUTS, output_names=OUTPUTS, verbose=False,
            )  # fmt: skip
    finally:
        log.setLevel(level)
    assert program is not None
    return program.model_proto


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with large weights stored as float16 and cast back; a runtime does that once, when it loads."""
    casts = []
    for weight in list(model.graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= 1024:
            model.graph.initializer.remove(weight)
            model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half"))
            casts.append(helper.make_node("Cast", [f"{weight.name}.half"], [weight.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def quantised(table: Tensor) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Codes (V, D) and scales (V,) whose product is the table, up to half a scale."""
    rank = table.norm(dim=1).argsort().argsort()  # (V,)
    levels = torch.where(rank < SHORT, FINE, COARSE)
    scales = (table.abs().amax(1) / levels).clamp(min=torch.finfo(torch.float32).tiny)  # (V,)
    return (table / scales[:, None]).round().to(torch.int16).numpy(), scales.numpy()


def packed(content: bytes) -> bytes:
    """Even bytes, odd bytes, gzip, in whichever of its ways is shorter for such numbers."""
    numbers = np.frombuffer(content, np.uint8)
    planes = numbers[::2].tobytes() + numbers[1::2].tobytes()
    found = []
    for strategy in (zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY):
        gzip_file = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16, 9, strategy)
        found.append(gzip_file.compress(planes) + gzip_file.flush())
    return min(found, key=len)
