"""Small random models of the families' own classes, as the hub has them: some with a tower for images beside."""

from pathlib import Path
from typing import Any

import torch

from twin_assets.core.models.cpu import without_gpu_kernels

_SHARED = {
    "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "max_position_embeddings": 512, "initializer_range": 0.3,
}  # fmt: skip
_SEES = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 4,
    "image_size": 8,
}  # fmt: skip
_SLIDES = ["sliding_attention", "full_attention"] * 2


def tiny(family: str, vocabulary: int, **config: Any) -> Any:
    """The model of a family, with its tower where the hub's have one."""
    import transformers as t

    without_gpu_kernels()
    shared = _SHARED | {"vocab_size": vocabulary, "num_hidden_layers": 4} | config
    tied = shared | {"tie_word_embeddings": True}
    torch.manual_seed(3)
    with_tower = t.AutoModelForImageTextToText.from_config
    match family:
        case "smollm3":
            return t.SmolLM3ForCausalLM(
                t.SmolLM3Config(**({"pad_token_id": 0} | tied), no_rope_layer_interval=2)
            )
        case "gptoss":
            return t.GptOssForCausalLM(
                t.GptOssConfig(
                    **shared,
                    num_local_experts=4,
                    num_experts_per_tok=2,
                    sliding_window=16,
                    layer_types=_SLIDES,
                )
            )
        case "gemma":
            text = tied | {"sliding_window": 16, "layer_types": _SLIDES}
            return with_tower(t.Gemma3Config(text_config=text, vision_config=_SEES, mm_tokens_per_image=4))
        case "ministral":
            rope = {
                "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64,
                "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
            }  # fmt: skip
            text = shared | {"model_type": "ministral3", "rope_parameters": rope}
            seen = _SEES | {"model_type": "pixtral", "head_dim": 8}
            return with_tower(t.Mistral3Config(text_config=text, vision_config=seen, spatial_merge_size=1))
        case "qwen35":
            text = tied | {
                "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
                "linear_value_head_dim": 8, "layer_types": (["linear_attention"] * 3 + ["full_attention"]),
                "pad_token_id": None, "bos_token_id": None, "eos_token_id": 0,
            }  # fmt: skip
            eyes = {
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_heads": 2,
                "out_hidden_size": 32,
            }
            return with_tower(t.Qwen3_5Config(text_config=text, vision_config=eyes, tie_word_embeddings=True))
        case "llama4":
            text = shared | {
                "intermediate_size_mlp": 64, "num_local_experts": 4, "interleave_moe_layer_step": 1,
                "attention_chunk_size": 16, "pad_token_id": None, "bos_token_id": None, "eos_token_id": 0,
            }  # fmt: skip
            seen = _SEES | {"vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16}
            return with_tower(t.Llama4Config(text_config=text, vision_config=seen))
    raise ValueError(family)


FAMILIES = ("smollm3", "gptoss", "gemma", "ministral", "qwen35", "llama4")
WITH_TOWERS = ("gemma", "ministral", "qwen35", "llama4")


def save(model: Any, tokenizer: Any, folder: Path) -> Path:
    """The model and a tokenizer as files of the hub."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
