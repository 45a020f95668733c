"""A hosted model for a side task (teacher, judge, planner, fallback) through LiteLLM: retries, a budget, prices. Keys
never show.

A role `teacher` reads the settings `teacher_model`, `teacher_url`, `teacher_api_key`, `teacher_budget_usd`,
`teacher_price_in`, `teacher_price_out`, `teacher_timeout`, `teacher_backoff`, and `teacher_max_tokens` for whom it asks.
A role without the setting of a budget (the planner) has none, and no price.
"""

import random
import re
import threading
import time
from typing import Any, Literal, NamedTuple

from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash
from twin_assets.core.llm.client import ask, open_litellm, token_prices
from twin_assets.core.tracing.chat import chat_call
from twin_assets.settings import Settings

ATTEMPTS, LONGEST_WAIT = 6, 60.0
REASON_CHARACTERS = 300
_TOO_LARGE, _OVERLOADED = 413, 529  # the latter is what some providers say in place of 503


Fault = Literal["cut_off", "filtered", "refused", "empty"]


class Reply(NamedTuple):
    """What a model wrote, and what is wrong with it: cut off at the limit of tokens (a reasoning model may have spent
    all of them thinking), held back by a filter, refused by the model, or no text at all."""

    text: str
    fault: Fault | None


class RequestTooLong(TwinError):
    """The request is longer than the model takes; a shorter one may pass."""


class RequestFiltered(TwinError):
    """The provider's filter took exception to the request; another may pass."""


def read_reply(answer: Any) -> Reply:
    """The text of LiteLLM's answer. What a model thought before it (`reasoning_content`) is no part of it."""
    if not answer.choices:
        return Reply("", "empty")
    choice = answer.choices[0]
    message, ending = choice.message, choice.finish_reason
    text = _written(getattr(message, "content", None))
    if ending == "length":
        return Reply(text, "cut_off")
    if ending == "content_filter":
        return Reply(text, "filtered")
    # LiteLLM keeps what it has no field for here.
    if getattr(message, "refusal", None) or (getattr(message, "provider_specific_fields", None) or {}).get(
        "refusal"
    ):
        return Reply(text, "refused")
    return Reply(text, None if text else "empty")


def _written(content: Any) -> str:
    """The text of a message: its content, or that of the parts it comes in, without thoughts written into it."""
    if isinstance(content, list):
        parts = [
            part.get("text")
            if isinstance(part, dict) and part.get("type", "text") in ("text", "output_text")
            else part
            for part in content
        ]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        return ""
    start, end = _THOUGHT.match(content), content.find("</think")
    if end >= 0 and (start or "<think" not in content[:end]):  # some servers take the opening mark off
        content = content[content.find(">", end) + 1 :]
    elif start:
        content = ""  # it never came to its answer
    return content.strip()


# LiteLLM says it so of an answer with status 200 that is none: no choices, another form, a page.
_UNREADABLE = re.compile(r"Invalid response object|no 'choices'|Empty or invalid response")
_THOUGHT = re.compile(r"\s*<think(?:ing)?>")


class HostedModel:
    """Safe to ask from several threads. `spent` is in US dollars."""

    def __init__(self, settings: Settings, role: str) -> None:
        """Raises TwinError when the role has no model, or its price is not known."""
        self._settings, self.role = settings, role
        if not (model := self._setting("model")):
            raise TwinError(f"There is no {role}.", f"set {self._variable('model')} to a LiteLLM model name.")
        self.model: str = model
        self._price = self._prices()
        self.spent, self._lock = 0.0, threading.Lock()

    @property
    def budget(self) -> float:
        """US dollars; 0 is no limit."""
        return self._setting("budget_usd") or 0.0

    def complete(
        self,
        prompt: str | list[dict[str, Any]],
        max_tokens: int,
        temperature: float,
        attempts: int = ATTEMPTS,
        **options: Any,
    ) -> Any:
        """The model's answer to a prompt or a conversation; None when it stayed busy or ill through all attempts.

        A parameter that the model refuses is left out (`core/llm/client.py`). Raises TwinError when the budget is spent, when
        the model refuses the key or the request or writes what nobody can read, RequestFiltered and RequestTooLong.
        """
        from openai import OpenAIError  # the base of all that LiteLLM raises; its own of that name is not

        errors, key, url = open_litellm().exceptions, self._setting("api_key"), self._setting("url")
        # One's own server may ask for no key, but the client insists on having one.
        secret = key.get_secret_value() if key else "none" if url else None
        passing = (errors.RateLimitError, errors.Timeout, errors.APIConnectionError,
                   errors.InternalServerError, errors.ServiceUnavailableError, errors.BadGatewayError)  # fmt: skip
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        for attempt in range(attempts):
            self._check_budget()
            try:
                answer = self._traced(
                    url,
                    api_key=secret,
                    messages=messages,
                    max_tokens=max_tokens,
                    temperature=temperature,
                    timeout=self._setting("timeout"),
                    **options,
                )
            except passing as error:
                if _is_for_good(error):
                    raise TwinError(
                        f"The {self.role} {self.model} has no credit left: {self._said(error)}",
                        f"see to the account behind {self._variable('api_key')}, or choose another {self._variable('model')}.",
                    ) from None
                if attempt and _UNREADABLE.search(str(error)):
                    return None  # each attempt is paid for
                if attempt + 1 < attempts:
                    time.sleep(_wait(error, attempt, self._setting("backoff")))
                continue
            except errors.AuthenticationError:
                raise TwinError(
                    f"The {self.role} {self.model} refused the key.",
                    f"set {self._variable('api_key')} to a valid one.",
                ) from None
            except errors.ContentPolicyViolationError:
                raise RequestFiltered(
                    f"The {self.role} {self.model} filtered a request.",
                    "leave the text out, or choose another model.",
                ) from None
            except errors.ContextWindowExceededError:
                raise RequestTooLong(
                    f"A request is too long for the {self.role} {self.model}.",
                    f"choose one with a longer context in {self._variable('model')}, or a profile with shorter passages.",
                ) from None
            except OpenAIError as error:
                status = getattr(error, "status_code", None)
                if status == _OVERLOADED:
                    if attempt + 1 < attempts:
                        time.sleep(_wait(error, attempt, self._setting("backoff")))
                    continue
                if status == _TOO_LARGE:
                    raise RequestTooLong(
                        f"A request is too long for the {self.role} {self.model}.",
                        f"choose one that takes longer ones in {self._variable('model')}, or a profile with shorter passages.",
                    ) from None
                raise TwinError(
                    f"The {self.role} {self.model} refused the request ({getattr(error, 'status_code', '?')}): "
                    f"{self._said(error)}",
                    f"check {self._variable('model')} and {self._variable('url')}.",
                ) from None
            except Exception as error:  # LiteLLM's parsers fail in as many ways as there are servers
                raise TwinError(
                    f"The answer of the {self.role} {self.model} can't be read ({type(error).__name__}).",
                    f"check {self._variable('model')} and {self._variable('url')}: it must speak its provider's protocol.",
                ) from None
            usage = getattr(answer, "usage", None)
            with self._lock:
                self.spent += self.cost(
                    getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0
                )
            return answer
        return None

    def _traced(self, url: str | None, **options: Any) -> Any:
        """`ask`, with a span of the call where a request is traced."""
        with chat_call(
            url, self.model.rpartition("/")[0] or "openai", {"model": self.model} | options
        ) as call:
            answer = ask(self.model, url, **options)
            if call:
                usage, reply = getattr(answer, "usage", None), read_reply(answer)
                used = getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0
                call.wrote(0, reply.text)
                call.ended(str(getattr(answer, "model", None) or self.model), used, [reply.fault or "stop"])
        return answer

    def key(self, prompt: str) -> str:
        """The name under which what this model answered to a prompt is kept."""
        return text_hash(f"{self.model}\n{prompt}", 32)

    def check_estimate(self, estimate: float) -> None:
        """Raises TwinError when what is to be asked would cost more than the budget."""
        if estimate > self.budget > 0:
            raise TwinError(
                f"The {self.role} would cost about ${estimate:.2f}, the budget is ${self.budget:.2f}.",
                f"raise {self._variable('budget_usd')}, or choose a cheaper {self._variable('model')}.",
            )

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """US dollars."""
        return tokens_in * self._price[0] + tokens_out * self._price[1]

    def _check_budget(self) -> None:
        if self.spent >= self.budget > 0:
            raise TwinError(
                f"The {self.role}'s budget of ${self.budget:.2f} is spent.",
                f"raise {self._variable('budget_usd')} and run again: what was answered is kept.",
            )

    def _prices(self) -> tuple[float, float]:
        """US dollars a token, in and out: by setting, else from LiteLLM's table, else 0 for one's own server."""
        given = self._setting("price_in"), self._setting("price_out")
        if self._setting("budget_usd") is None or (self._setting("url") is not None and None in given):
            return 0.0, 0.0
        price = token_prices(self.model, *given)
        if price is None:
            raise TwinError(
                f"The price of {self.model} is not known.",
                f"set {self._variable('price_in')} and {self._variable('price_out')}, in dollars a million tokens.",
            )
        return price

    def _said(self, error: Exception) -> str:
        """A refusal in one line, without the key."""
        text, key = " ".join(str(error).split()), self._setting("api_key")
        if key and key.get_secret_value():
            text = text.replace(key.get_secret_value(), "***")
        return text[:REASON_CHARACTERS]

    def max_tokens_fix(self) -> str:
        """What to do about answers that were cut off."""
        return (
            f"raise {self._variable('max_tokens')}; a reasoning model needs tokens to think before it writes"
        )

    def _setting(self, name: str) -> Any:
        return getattr(self._settings, f"{self.role}_{name}", None)

    def _variable(self, name: str) -> str:
        return f"TWIN_{self.role}_{name}".upper()


def _is_for_good(error: Exception) -> bool:
    """Whether a refusal for too many requests is one of an account without money, which no wait helps."""
    return bool(
        re.search(
            r"insufficient_quota|exceeded your current quota|credit balance|billing",
            str(error),
            re.IGNORECASE,
        )
    )


def _wait(error: Any, attempt: int, base: float) -> float:
    """Seconds before another attempt: what the answer asked for, else longer each time."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    retry_after = str(headers.get("retry-after", ""))
    if retry_after.replace(".", "", 1).isdigit():
        return min(float(retry_after), LONGEST_WAIT)
    return min(base * 2**attempt, LONGEST_WAIT) * (0.5 + random.random() / 2)
