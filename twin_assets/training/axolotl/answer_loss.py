"""An Axolotl plugin, loaded inside the training process: logits only where something is learnt.

The loss is on the answer, yet a causal model multiplies every position with its vocabulary. Of a small model with a large
vocabulary that is a fifth of the work, and half of the positions are prompt. DPO asks twice, and measures the logits besides.
"""

from functools import wraps
from typing import Any

from axolotl.integrations.base import BasePlugin

_NOT_OF_THE_BODY = ("labels", "logits_to_keep", "num_items_in_batch")


class AnswerLossPlugin(BasePlugin):
    """Lets supervised fine-tuning and DPO pass over the prompt's logits. Trainers of other methods are left alone."""

    def post_model_load(self, cfg: Any, model: Any) -> None:
        if not cfg.rl:
            learn_answers_only(_body_and_head(model))

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        if cfg.rl == "dpo":
            prefer_answers_only(trainer)


class FusedLossPlugin(BasePlugin):
    """Has Liger's fused loss spare the logits of held-out rows too, not of trained rows only: their peak would be higher."""

    def post_model_load(self, cfg: Any, model: Any) -> None:
        spare_logits(_body_and_head(model))


def _body_and_head(model: Any) -> Any:
    """The causal language model itself, without an adapter around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def spare_logits(model: Any) -> None:
    """Let a model whose forward is Liger's never give logits where it is given labels, as while it trains."""
    whole = model.forward

    @wraps(whole)
    def forward(*given: Any, **named: Any) -> Any:
        return whole(*given, **named | ({} if named.get("labels") is None else {"skip_logits": True}))

    model.forward = forward


def learn_answers_only(model: Any) -> None:
    """Give the causal language model the same loss as before, with logits of the positions that have a label; the logits
    in its outputs are then None. Without labels it is as it was."""
    whole = model.forward

    @wraps(whole)  # the trainer reads from the signature which columns a model takes
    def forward(input_ids: Any = None, **given: Any) -> Any:
        if given.get("labels") is None:
            return whole(input_ids=input_ids, **given)
        from torch.nn.functional import pad
        from transformers.modeling_outputs import CausalLMOutputWithPast

        body = {name: value for name, value in given.items() if name not in _NOT_OF_THE_BODY}
        hidden = model.model(input_ids=input_ids, **body).last_hidden_state
        following = pad(given["labels"], (0, 1), value=-100)[:, 1:]
        learnt = following != -100
        loss = model.loss_function(
            logits=model.lm_head(hidden[learnt]),
            labels=None,
            shift_labels=following[learnt],
            vocab_size=model.config.vocab_size,
            num_items_in_batch=given.get("num_items_in_batch"),
        )
        return CausalLMOutputWithPast(loss=loss)

    model.forward = forward


def prefer_answers_only(trainer: Any) -> None:
    """Give a DPO trainer of TRL the same loss and measures as before, from logits of the answers alone.

    It is handed answers as if nothing stood before them; the model, and the reference, still read all of it.
    """
    whole = trainer.compute_loss
    models = [trainer.model, trainer.ref_model] if trainer.ref_model is not None else [trainer.model]
    for model in models:
        _answer_from_whole_rows(_body_and_head(model))

    @wraps(whole)
    def compute_loss(model: Any, inputs: dict[str, Any], *others: Any, **named: Any) -> Any:
        return whole(model, answers_of(inputs), *others, **named)

    trainer.compute_loss = compute_loss


def answers_of(inputs: dict[str, Any]) -> dict[str, Any]:
    """The batch of TRL's DPO, `input_ids` and `completion_mask` of shape (rows, tokens), with both cut to the answers and one
    token before each: shape (rows, longest answer + 1). `whole_ids` holds the rows, `places` where in them what is left stood."""
    import torch

    ids, mask = inputs["input_ids"], inputs["completion_mask"]
    longest, tokens = int(mask.sum(dim=1).max()), ids.shape[1]
    before = (mask.argmax(dim=1) - 1).clamp(min=0)
    wanted = before[:, None] + torch.arange(longest + 1, device=ids.device)
    places = wanted.clamp(max=tokens - 1)
    answer = mask.gather(1, places) * (wanted < tokens)
    # Nothing is asked to foretell the token before, nor the first of a row that is all answer.
    answer[:, 0] = 0
    return inputs | {
        "input_ids": ids.gather(1, places),
        "completion_mask": answer,
        "whole_ids": ids,
        "places": places,
    }


def _answer_from_whole_rows(model: Any) -> None:
    whole = model.forward

    @wraps(whole)
    def forward(input_ids: Any = None, whole_ids: Any = None, places: Any = None, **given: Any) -> Any:
        if whole_ids is None:
            return whole(input_ids=input_ids, **given)
        from transformers.modeling_outputs import CausalLMOutputWithPast

        hidden = model.model(input_ids=whole_ids, **given).last_hidden_state
        at_answers = hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))
        return CausalLMOutputWithPast(logits=model.lm_head(at_answers))

    model.forward = forward
