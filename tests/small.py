"""Small random models, tokenizers that know their words, and what the models say themselves."""

import inspect

import torch
from wordlevel import word_tokenizer

WORDS = "a dull movie that goes on and what did the dog eat ? ate cake . good bad"
TEXT, LONGER = "a dull movie", "a dull movie that goes on and on"
PAIR, LONGER_PAIR = (
    ("what did the dog eat ?", "the dog ate the cake ."),
    ("what did ate", "the dog on and on ate the good cake ."),
)
K = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
}
GPT2 = {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.3}
GPT2 |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BART = {"vocab_size": 40, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "init_std": 0.3}
BART |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
BART |= {
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
}
BART |= {"max_position_embeddings": 64}
T5 = {"vocab_size": 40, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
T5 |= {"pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}

XGLM = {"vocab_size": 40, "d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64, "init_std": 0.3}
XGLM |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 64}

BERT = word_tokenizer(WORDS)
PLAIN = word_tokenizer(WORDS, token_types=False)
DECODER = word_tokenizer(WORDS, decoder=True)


def built(kind, config, **more):
    """A model with random weights, heads and padding rows included."""
    torch.manual_seed(0)
    model = kind(config, **more)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def outputs(model, ids, **more):
    """What the model says of one text's ids, with the mask that a tokenizer gives (Flaubert needs it)."""
    ids = torch.tensor([list(ids)])
    if "attention_mask" in inspect.signature(model.forward).parameters:
        more["attention_mask"] = torch.ones_like(ids)
    with torch.no_grad():
        return model(input_ids=ids, **more)


def own_class(model, found):
    """The logit of the explained class."""
    return float(outputs(model, found.input_ids).logits[0, found.target])


def own_continuation(model, tokenizer, prompt, words):
    """Log-probability of what continues a prompt, one token after the other."""
    ids, total = tokenizer(prompt)["input_ids"], 0.0
    for word in tokenizer(words, add_special_tokens=False)["input_ids"]:
        total += float(outputs(model, ids).logits[0, -1].log_softmax(-1)[word])
        ids = [*ids, word]
    return total


def own_answer(model, tokenizer, pair, span):
    with torch.no_grad():
        found = model(**tokenizer(*pair, return_tensors="pt"))
    return float(found.start_logits[0, span[0]] + found.end_logits[0, span[1]])


def on_baseline(found, row):
    """The ids with every explained token replaced."""
    return [i if fixed else row for i, fixed in zip(found.input_ids, found.special, strict=True)]
