"""Kim's convolutional network for sentences: windows of words, the strongest of each kind, one linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class KimCNNConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes of a ``KimCNN``; the defaults are those of Kim 2014. It names no longest input: any length is read."""

    model_type = "kim-cnn"

    def __init__(
        self,
        vocab_size: int = 10_000,
        embedding_size: int = 300,
        widths: Sequence[int] = (3, 4, 5),
        n_filters: int = 100,
        dropout: float = 0.5,
        pad_token_id: int = 0,
        **more: Any,
    ):
        """Args: number of words, D, words in a window, filters of each width, share dropped before ``fc``."""
        super().__init__(**more)
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.widths = list(widths)
        self.n_filters = n_filters
        self.dropout = dropout
        self.pad_token_id = pad_token_id


class KimCNN(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Kim-CNN: every filter looks at every window of the text, and only its largest answer is kept.

    The text stands between zeros, so that a window may hang over its ends: a text of one word is read by filters of
    any width. Padding is zero as well, and a window with nothing but padding never wins; the logits of a text are
    the same alone and in a batch.

    Source: Kim, EMNLP 2014, arXiv 1408.5882. Zhuo & Ge 2024 (IG2) explain such a network, from the input of ``fc``.
    """

    config_class = KimCNNConfig

    def __init__(self, config: KimCNNConfig):
        super().__init__(config)
        d, f = config.embedding_size, config.n_filters
        classes: Any = config.num_labels
        self.embedding = nn.Embedding(config.vocab_size, d, padding_idx=config.pad_token_id)
        self.convolutions = nn.ModuleList(nn.Conv1d(d, f, width, padding=width - 1) for width in config.widths)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(config.dropout)
        self.fc = nn.Linear(f * len(config.widths), classes)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """The table of word embeddings."""
        return self.embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Put another table in its place."""
        self.embedding = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Class logits.

        Args:
            input_ids: (n, L) rows of the table.
            attention_mask: (n, L), 0 where there is padding; None where there is none.
            inputs_embeds: (n, L, D), in place of ``input_ids``.

        Raises:
            ValueError: both of ids and embeddings, or neither.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("KimCNN reads either input_ids or inputs_embeds; pass one of them")
        x = self.embedding(input_ids) if inputs_embeds is None else inputs_embeds
        x = x.transpose(1, 2)  # (n, D, L)
        real = None if attention_mask is None else attention_mask[:, None].to(x)  # (n, 1, L)
        if real is not None:
            x = x * real
        best = [self._best(convolution, x, real) for convolution in self.convolutions]  # (n, f) each
        # The largest of the answers after ReLU is the ReLU of the largest answer.
        features = self.dropout(self.relu(torch.cat(best, dim=1)))
        return SequenceClassifierOutput(logits=self.fc(features))

    @staticmethod
    def _best(convolution: Any, x: Tensor, real: Tensor | None) -> Tensor:
        """A filter's largest answer over the windows with a real word: (n, f)."""
        answers: Tensor = convolution(x)  # (n, f, L + width - 1)
        if real is not None:
            (width,) = convolution.kernel_size
            words = functional.max_pool1d(functional.pad(real, (width - 1, width - 1)), width, stride=1)
            answers = answers.masked_fill(words == 0, -torch.inf)
        return answers.amax(-1)


AutoConfig.register(KimCNNConfig.model_type, KimCNNConfig, exist_ok=True)
AutoModelForSequenceClassification.register(KimCNNConfig, KimCNN, exist_ok=True)
