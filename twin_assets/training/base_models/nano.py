"""The nano base model: a tokenizer and a small Llama trained from scratch on this machine, in minutes.

It needs no hub, no GPU and no account, and it knows nothing: it proves the plumbing of every stage
behind it, and says so.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twin_assets.core.errors import TwinError
from twin_assets.core.models.cpu import cpu_has_bfloat16
from twin_assets.training.base_models.nano_text import BaseText

BOUNDARY, PAD, START, END = "<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"

# ChatML. It must not trim: Axolotl's DPO finds the answer in the rendered text by its exact content.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class NanoShape:
    """Architecture and schedule. 4.0 million parameters, of which 0.8 are the tied embeddings."""

    vocabulary: int = 3072
    hidden: int = 256
    intermediate: int = 688
    layers: int = 4
    heads: int = 4
    positions: int = 1024
    batch: int = 4
    length: int = 256
    peak_lr: float = 2e-3
    warmup: int = 30
    weight_decay: float = 0.1


def build_nano_base(
    folder: Path,
    text: BaseText,
    seed: int,
    steps: int,
    on_progress: Callable[[dict[str, Any]], None],
    shape: NanoShape = NanoShape(),
) -> dict[str, float]:
    """Train tokenizer and model on `text` and save both to `folder`; returns the metrics.

    Metrics: train_loss (mean of the last 20 steps, nats a token), steps, tokens_seen, text_tokens,
    parameters, seconds. `on_progress` gets {step, steps, loss, tokens_per_second, eta_seconds} every
    few seconds. The caller's random state is left as it was.
    """
    import torch

    start = time.monotonic()
    tokenizer = train_tokenizer(text, shape)
    ids = torch.tensor(_stream(tokenizer, text))
    if len(ids) <= shape.length:
        raise TwinError(f"The base text has only {len(ids)} tokens.", "give it at least a few pages.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _new_model(tokenizer, shape)
        losses = _train(model, ids, seed, steps, shape, on_progress)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    tail = losses[-20:]
    return {
        "train_loss": sum(tail) / len(tail),
        "steps": float(steps),
        "tokens_seen": float(steps * shape.batch * shape.length),
        "text_tokens": float(len(ids)),
        "parameters": float(model.num_parameters()),
        "seconds": time.monotonic() - start,
    }


def plan(text: BaseText, steps: int, shape: NanoShape) -> dict[str, Any]:
    """Everything but the seed that decides what `build_nano_base` makes; hashed into the lineage."""
    return {"text": asdict(text), "steps": steps, "shape": asdict(shape), "template": CHAT_TEMPLATE}


def train_tokenizer(text: BaseText, shape: NanoShape) -> Any:
    """Byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2): any text is representable, emoji too."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocabulary,
        special_tokens=[BOUNDARY, PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([text.prose, *(m.content for chat in text.chats for m in chat)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=BOUNDARY,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        chat_template=CHAT_TEMPLATE,
        model_max_length=shape.positions,
        clean_up_tokenization_spaces=False,
    )


def _stream(tokenizer: Any, text: BaseText) -> list[int]:
    """All text as one row of token ids, with a boundary after each part."""
    chats = [[m.model_dump() for m in chat] for chat in text.chats]
    parts = [text.prose, *(tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats)]
    return [
        i
        for part in parts
        for i in tokenizer(part + BOUNDARY, add_special_tokens=False, verbose=False).input_ids
    ]


def _new_model(tokenizer: Any, shape: NanoShape) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.heads,
            max_position_embeddings=shape.positions,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _train(
    model: Any,
    ids: Any,
    seed: int,
    steps: int,
    shape: NanoShape,
    on_progress: Callable[[dict[str, Any]], None],
) -> list[float]:
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=shape.peak_lr, betas=(0.9, 0.95), weight_decay=shape.weight_decay
    )
    losses: list[float] = []
    start = reported = time.monotonic()
    model.train()
    for step, batch in enumerate(_windows(ids, seed, steps, shape), start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, shape)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cpu_has_bfloat16()):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        now = time.monotonic()
        if now - reported > 5 or step == steps:
            reported, speed = now, step / (now - start)
            on_progress(
                {
                    "step": step,
                    "steps": steps,
                    "loss": round(losses[-1], 3),
                    "tokens_per_second": round(speed * shape.batch * shape.length),
                    "eta_seconds": round((steps - step) / speed),
                }
            )
    return losses


def _windows(ids: Any, seed: int, steps: int, shape: NanoShape) -> Iterator[Any]:
    """Batches of random windows of the stream, shape (batch, length)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        starts = torch.randint(0, len(ids) - shape.length, (shape.batch,), generator=generator)
        yield torch.stack([ids[i : i + shape.length] for i in starts])


def learning_rate(step: int, steps: int, shape: NanoShape) -> float:
    """Linear warm-up, then a cosine down to a tenth of the peak; `step` counts from 1."""
    if step <= shape.warmup:
        return shape.peak_lr * step / shape.warmup
    done = (step - shape.warmup) / max(1, steps - shape.warmup)
    return shape.peak_lr * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))
