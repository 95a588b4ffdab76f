"""A hub's cache as the papers' checkpoints and data would fill it, only that the weights are random and small."""

import json

import numpy as np
import pandas as pd
import torch
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from udig_lab.data import examples
from udig_lab.model.load import PAPER_CHECKPOINTS

TEXTS = ["a gorgeous , witty , seductive movie .", "it never finds its feet", "Bad ."]
PAIRS = [
    ("Who ate the cake ?", "The small dog ate the whole cake on Sunday ."),
    ("When ?", "On Sunday the dog slept ."),
    ("What did the dog eat on Sunday ?", "The dog ate cake ."),
]
# Words enough for 500 neighbours.
CORPUS = [*TEXTS, *(" ".join(pair) for pair in PAIRS), *examples("sst2").text, *examples("rotten_tomatoes").text]
REVISION = "0123456789abcdef0123456789abcdef01234567"

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
MODELS = {
    "bert": lambda v: BertForSequenceClassification(BertConfig(vocab_size=v, max_position_embeddings=64, **SMALL)),
    "distilbert": lambda v: DistilBertForSequenceClassification(
        DistilBertConfig(vocab_size=v, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=64)
    ),
    "roberta": lambda v: RobertaForSequenceClassification(
        RobertaConfig(vocab_size=v, max_position_embeddings=66, type_vocab_size=1, **SMALL)
    ),
    "squad": lambda v: BertForQuestionAnswering(BertConfig(vocab_size=v, max_position_embeddings=64, **SMALL)),
}


def cached(home, kind, repository, branch="main"):
    """The folder where the hub's cache keeps a repository's files."""
    room = home / "hub" / f"{kind}s--{repository.replace('/', '--')}"
    (room / "refs" / branch).parent.mkdir(parents=True, exist_ok=True)
    (room / "refs" / branch).write_text(REVISION)
    snapshot = room / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    return snapshot


def write_checkpoint(folder, kind, seed):
    """A checkpoint as these repositories hold it: vocabulary files of 2020, and mostly pickled weights."""
    if kind == "roberta":
        tokenizer = ByteLevelBPETokenizer()
        tokenizer.train_from_iterator(CORPUS, 900, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
        settings = {"model_max_length": 512}
    else:
        lower = kind != "squad"
        tokenizer = BertWordPieceTokenizer(lowercase=lower)
        tokenizer.train_from_iterator(CORPUS, 900)
        settings = {"do_lower_case": lower, "model_max_length": 512}
    tokenizer.save_model(str(folder))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(seed)
    model = MODELS[kind](tokenizer.get_vocab_size()).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # fresh weights hardly bend F
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    if kind in ("bert", "roberta"):
        (folder / "model.safetensors").unlink()
        kept = model.state_dict()
        kept[f"{kind}.embeddings.position_ids"] = torch.arange(model.config.max_position_embeddings)[None]
        torch.save(kept, folder / "pytorch_model.bin")


def write_data(home):
    """Parquet files with the columns that the hub's have."""
    n = len(TEXTS)
    rt = pd.DataFrame({"text": TEXTS, "label": [1, 0, 0]})
    answers = [{"text": ["the whole cake"], "answer_start": [18]}, {"text": ["On Sunday"] * 2, "answer_start": [0, 0]}]
    long = "word " * 90
    tables = {
        ("nyu-mll/glue", "sst2/test-00000-of-00001.parquet"): pd.DataFrame(
            {"sentence": TEXTS, "label": [-1] * n, "idx": np.arange(n, dtype=np.int32)}
        ),
        ("stanfordnlp/imdb", "plain_text/test-00000-of-00001.parquet"): rt.assign(
            text=["so<br /><br />good", *TEXTS[1:]]
        ),
        ("cornell-movie-review-data/rotten_tomatoes", "test.parquet"): rt,
        ("rajpurkar/squad", "plain_text/validation-00000-of-00001.parquet"): pd.DataFrame(
            {
                "id": ["a", "b", "c", "d"],
                "title": "Cake",
                "context": [*(context for _, context in PAIRS), long],
                "question": [*(question for question, _ in PAIRS), "Too long ?"],
                "answers": [*answers, *[{"text": ["cake"], "answer_start": [12]}] * 2],
            }
        ),
        ("CogComp/trec", "default/test/0000.parquet"): pd.DataFrame(
            {"text": TEXTS, "coarse_label": [0, 5, 3], "fine_label": [1, 40, 20]}
        ),
    }
    for (repository, file), rows in tables.items():
        branch = "refs/convert/parquet" if repository == "CogComp/trec" else "main"
        target = cached(home, "dataset", repository, branch) / file
        target.parent.mkdir(parents=True, exist_ok=True)
        rows.to_parquet(target)


def fill(home):
    """Fill a folder that HF_HOME can name."""
    for seed, ((dataset, architecture), name) in enumerate(PAPER_CHECKPOINTS.items()):
        kind = "squad" if dataset == "squad" else architecture
        write_checkpoint(cached(home, "model", name), kind, seed)
    write_data(home)
