"""Tiny random models of every architecture that the installed transformers can build for text.

A configuration is shrunk by the names of its fields: sizes that mean the same are called the same in most of them.
What is left over, a page of special cases, stands in ``OWN``.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, PretrainedConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

TASKS = {
    "classification": modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    "span": modeling_auto.MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES,
    "causal": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
}
AUTO = {
    "classification": transformers.AutoModelForSequenceClassification,
    "span": transformers.AutoModelForQuestionAnswering,
    "causal": transformers.AutoModelForCausalLM,
}
LARGEST = 5_000_000  # parameters; what is larger was not shrunk by its fields' names

_WIDTH, _HEADS, _HEAD, _INNER, _LAYERS, _ROWS = 32, 4, 8, 48, 2, 96
PAD, BEGIN, END, MASK = 0, 1, 2, 3
_OTHER = range(80, _ROWS)  # ids of images and sounds, beyond all words

SMALL: dict[str, Any] = {
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "audio_vocab_size", "unpadded_vocab_size"), _ROWS),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embed_dim", "embedding_size"), _WIDTH),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers"), _LAYERS),
    **dict.fromkeys(("decoder_layers", "num_decoder_layers", "num_encoder_layers", "depth", "num_blocks"), _LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads"), _HEADS),
    **dict.fromkeys(("decoder_attention_heads", "attention_heads", "swa_num_attention_heads"), _HEADS),
    **dict.fromkeys(("num_key_value_heads", "swa_num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "d_kv", "v_head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "swa_head_dim"), _HEAD),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "linear_head_dim", "index_head_dim"), _HEAD),
    **dict.fromkeys(("d_head", "kv_channels", "mamba_head_dim", "mamba_num_heads", "indexer_head_dim"), _HEAD),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads", "linear_num_heads", "n_mamba_heads"), 2),
    **dict.fromkeys(("chunk_size", "mamba_chunk_size"), 8),
    **dict.fromkeys(("intermediate_size", "moe_intermediate_size", "ffn_dim", "d_ff", "decoder_ffn_dim"), _INNER),
    **dict.fromkeys(("encoder_ffn_dim", "hidden_dim", "d_inner", "ffn_hidden_size", "dff", "dim_ff"), _INNER),
    **dict.fromkeys(("shared_expert_intermediate_size", "shared_intermediate_size", "mlp_dim"), _INNER),
    **dict.fromkeys(("expert_ffn_hidden_size", "intermediate_size_mlp", "feed_forward_size"), _INNER),
    **dict.fromkeys(("moe_shared_expert_intermediate_size", "dense_intermediate_size", "n_inner"), _INNER),
    **dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_groups"), 1),
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "o_lora_rank", "rotary_dim"), _HEAD),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 8),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "context_length"), 64),
    "hidden_size_global": _WIDTH,
    "hidden_size_per_layer_input": 8,
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_budget": 64,
    "indexer_compress_ratio": 4,
    "mamba_n_heads": 4,
    "mamba_d_ssm": 2 * _WIDTH,
    "index_n_heads": 2,
    "index_topk": 64,
    "sliding_window": 32,
    "initializer_range": 0.3,
    "init_std": 0.3,
    "pad_token_id": PAD,
    "bos_token_id": BEGIN,
    "cls_token_id": BEGIN,
    "eos_token_id": END,
    "sep_token_id": END,
    "mask_token_id": MASK,
    "decoder_start_token_id": END,
    "attention_window": 8,
    "image_size": 28,
    "patch_size": 14,
}

# What a configuration needs besides: by model type.
OWN: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "bailing_hybrid": {"first_k_dense_replace": 1},
    "blt": {"encoder_hash_byte_group_vocab": _ROWS, "use_cache": False},
    "cohere_compass_text": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    "dbrx": {
        "ffn_config": {"hidden_size": _WIDTH, "ffn_hidden_size": _INNER, "moe_top_k": 2},
        "attn_config": {"rope_theta": 1e4, "clip_qkv": 8.0},
    },
    "dots3_note_text": {
        **dict.fromkeys(("swa_num_attention_heads", "swa_num_key_value_heads"), _HEADS),
        **dict.fromkeys(("swa_q_lora_rank", "swa_kv_lora_rank", "swa_qk_nope_head_dim", "swa_v_head_dim"), _HEAD),
        "swa_head_dim": 2 * _HEAD,
    },
    "dots1": {"n_shared_experts": 1},
    "esmc": {"num_key_value_heads": _HEADS},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gemma4_unified_audio": {"audio_embed_dim": _WIDTH},
    "gemma4_unified_vision": {"mm_posemb_size": 8, "mm_embed_dim": _WIDTH},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "layoutlmv3": {"visual_embed": False, "coordinate_size": 6, "shape_size": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "lilt": {"hidden_size": 48},
    "luke": {"entity_vocab_size": 8, "entity_emb_size": 8},
    "mamba2": {"num_heads": 8, "n_groups": 2},
    "mobilebert": {"normalization_type": "layer_norm"},
    "musicgen_decoder": {"pad_token_id": PAD, "bos_token_id": BEGIN},
    "perceiver": {"num_latents": 4, "d_latents": _WIDTH, "num_self_attends_per_block": 2},
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "attention_head_size": _HEAD,
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [8, 8],
        "axial_pos_embds_dim": [8, 24],
        "hash_seed": 0,
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
    },
    "roc_bert": {
        "pronunciation_embed_dim": 8,
        "pronunciation_vocab_size": _ROWS,
        "shape_embed_dim": 8,
        "shape_vocab_size": _ROWS,
    },
    "t5": {"decoder_start_token_id": PAD},
    "xmod": {"default_language": "en_XX"},
    "xlstm": {"use_cache": False},
    "zamba": {"layers_block_type": ["linear_attention", "hybrid"] * 2, "num_hidden_layers": 4},
    "zaya": {"num_experts_per_tok": 1},
}

# What only the head for a task needs.
HEADS: dict[tuple[str, str], dict[str, Any]] = {("causal", "reformer"): {"is_decoder": True, "attn_layers": ["local"]}}


def architectures(task: str) -> list[str]:
    """Model types with a head for a task, in alphabetical order."""
    return sorted(TASKS[task])


def tiny_config(kind: type[PretrainedConfig], **more: Any) -> PretrainedConfig:
    """A configuration of a class, shrunk by the names of its fields, its parts likewise."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    given: dict[str, Any] = {name: value for name, value in SMALL.items() if name in names}
    given |= dict(zip(sorted(n for n in names if _outside(n)), _OTHER, strict=False))
    if "kv_lora_rank" in names:  # compressed keys and values are unpacked for every head
        given["num_key_value_heads"] = _HEADS
    for name in ("layer_types", "layers_block_type"):
        if name in names:
            given |= _one_layer_a_kind(kind, name)
    for name, part in kind.sub_configs_defaults.items():
        inner = part.config_class if part.config_class is not AutoConfig else CONFIG_MAPPING[part.model_type]
        given[name] = tiny_config(inner)
    return kind(**given | OWN.get(kind.model_type, {}) | more)


def _one_layer_a_kind(config: type[PretrainedConfig], name: str) -> dict[str, Any]:
    """One layer of every kind that the full-sized model mixes, such as sliding and full attention."""
    kinds = list(dict.fromkeys(getattr(config(), name) or ()))
    kinds *= 1 + (len(kinds) == 1)
    return {name: kinds, "num_hidden_layers": len(kinds)} if kinds else {}


def _outside(name: str) -> bool:
    """Whether a field names a token that no text holds, such as the place of a picture."""
    return name.endswith(("_token_id", "_token_index")) and name not in SMALL


def tiny_model(task: str, kind: str, **more: Any) -> nn.Module:
    """A seeded random model in evaluation mode.

    Raises:
        MemoryError: the configuration was not shrunk enough.
    """
    given = HEADS.get((task, kind), {})
    if task == "causal" and hasattr(CONFIG_MAPPING[kind], "is_decoder"):  # an encoder's head reads both ways without
        given = {"is_decoder": True} | given
    config = tiny_config(CONFIG_MAPPING[kind], **given | more)
    if task == "classification":
        config.num_labels = 3
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size = sum(p.numel() for p in AUTO[task].from_config(config).parameters())
    if size > LARGEST:
        raise MemoryError(f"{size:,} parameters are left")
    torch.manual_seed(0)
    model = AUTO[task].from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():  # fresh heads are nearly zero, padding rows all zero: make F bend
            if parameter.is_floating_point():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()
