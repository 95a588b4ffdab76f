"""Tokenizers that know the words of a text and need no download."""

from typing import ClassVar

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizer, PreTrainedTokenizerFast

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"]


def word_tokenizer(text, *, token_types=True, decoder=False, separators=1):
    """A tokenizer that knows the words of a text: [CLS] a [SEP] b [SEP], or <s> a for a decoder.

    ``separators`` stand between the two texts of a pair: RoBERTa and its relatives write two.
    """
    names = {word: number for number, word in enumerate([*SPECIAL, *sorted(set(text.split()) - set(SPECIAL))])}
    core = Tokenizer(models.WordLevel(names, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    ids = [("[CLS]", 1), ("[SEP]", 2)]
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A" if decoder else "[CLS] $A [SEP]",
        pair="[CLS] $A " + "[SEP] " * separators + "$B:1 [SEP]:1",
        special_tokens=ids,
    )
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * token_types * (not decoder)
    given = {"pad_token": "[PAD]", "unk_token": "[UNK]", "model_input_names": names}
    given |= (
        {"eos_token": "[SEP]"} if decoder else {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, **given)


class SlowWords(PreTrainedTokenizer):
    """The same without the library in Rust: it knows no offsets, as the Japanese tokenizers do."""

    vocab_files_names: ClassVar = {}

    def __init__(self, text, *, token_types=True):
        self.names = {word: n for n, word in enumerate([*SPECIAL, *sorted(set(text.split()) - set(SPECIAL))])}
        self.types = token_types
        names = ["input_ids", "attention_mask"] + ["token_type_ids"] * token_types
        given = dict(zip(("pad_token", "cls_token", "sep_token", "mask_token", "unk_token"), SPECIAL, strict=True))
        super().__init__(**given, model_input_names=names)

    @property
    def vocab_size(self):
        return len(self.names)

    def get_vocab(self):
        return dict(self.names)

    def _tokenize(self, text):
        return text.split()

    def _convert_token_to_id(self, token):
        return self.names.get(token, self.names["[UNK]"])

    def _convert_id_to_token(self, index):
        return list(self.names)[index]

    def build_inputs_with_special_tokens(self, first, second=None):
        return [1, *first, 2] + ([] if second is None else [*second, 2])

    def create_token_type_ids_from_sequences(self, first, second=None):
        return [0] * (len(first) + 2) + ([] if second is None else [1] * (len(second) + 1))
