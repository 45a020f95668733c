"""An Axolotl plugin, loaded inside the training process: logits only where something is learnt.

The loss is on the answer, yet a causal model multiplies every position with its vocabulary. Of a small model with a large
vocabulary that is a fifth of the work, and half of the positions are prompt.
"""

from functools import wraps
from typing import Any

from axolotl.integrations.base import BasePlugin

_NOT_OF_THE_BODY = ("labels", "logits_to_keep", "num_items_in_batch")


class AnswerLossPlugin(BasePlugin):
    """Lets supervised fine-tuning pass over the prompt's logits. DPO's trainer takes its logits itself."""

    def post_model_load(self, cfg: Any, model: Any) -> None:
        if not cfg.rl:
            learn_answers_only(model.get_base_model() if hasattr(model, "get_base_model") else model)


class FusedLossPlugin(BasePlugin):
    """Has Liger's fused loss spare the logits of held-out rows too, not of trained rows only: their peak would be higher."""

    def post_model_load(self, cfg: Any, model: Any) -> None:
        spare_logits(model.get_base_model() if hasattr(model, "get_base_model") else model)


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
