"""What a piece of writing is asked for with, and the words that the model is told it in."""

from typing import Annotated, Literal

from pydantic import Field

from twin_assets.core.prompts.templates import render, strip_special_tokens
from twin_assets.core.records import Record
from twin_assets.core.text.privacy import mask
from twin_assets.core.text.tokens import first_tokens
from twin_assets.core.text.words import has_unspaced

WriteKind = Literal["linkedin_post", "x_post", "article", "reply", "rewrite"]
Language = Literal["da", "de", "en", "es", "fi", "fr", "it", "ja", "nb", "nl", "pl", "pt", "sv", "uk"]

PROMPT_OF = {"linkedin_post": "write_post", "article": "write_article", "x_post": "serving/write_x_post"}
FORM_OF = {"linkedin_post": "a LinkedIn post", "article": "an article", "x_post": "a post for X"}
FORMALITY = {
    "casual": "Keep it casual, as to a friend.",
    "plain": "Keep it plain and matter-of-fact.",
    "formal": "Keep it formal.",
}
ENERGY = {"calm": "Write calmly.", "lively": "Write with energy."}
HUMOUR = {"none": "No jokes.", "dry": "A touch of dry humour.", "playful": "Be playful."}
LANGUAGES: dict[str, str] = {
    "da": "Danish", "de": "German", "en": "English", "es": "Spanish", "fi": "Finnish", "fr": "French",
    "it": "Italian", "ja": "Japanese", "nb": "Norwegian", "nl": "Dutch", "pl": "Polish", "pt": "Portuguese",
    "sv": "Swedish", "uk": "Ukrainian",
}  # fmt: skip
# A word of English is about 1.3 tokens of a large vocabulary, and 1.6 leaves room to end a sentence.
TOKENS_A_WORD, TOKENS_TO_END = 1.6, 24
# Japanese has two letters a word: of a real blog 1.7 tokens with a vocabulary of 100,000 entries, 2.8 with a small one.
UNSPACED_TOKENS_A_WORD = 3.2
SEARCHED_TOKENS = 120


class Brief(Record):
    """One piece of writing: a `topic`, or a `draft` to work from; a reply has the text it `reply_to`s.

    `words` is about how long it should be.
    """

    kind: WriteKind
    topic: str | None = None
    draft: str | None = None
    reply_to: str | None = None
    formality: Literal["casual", "plain", "formal"] | None = None
    energy: Literal["calm", "lively"] | None = None
    humour: Literal["none", "dry", "playful"] | None = None
    words: Annotated[int, Field(ge=10, le=2000)] | None = None
    language: Language | None = None

    def masked(self) -> "Brief":
        """The same without personal data in its texts."""
        texts = {"topic": self.topic, "draft": self.draft, "reply_to": self.reply_to}
        return self.model_copy(update={name: text and mask(text)[0] for name, text in texts.items()})

    @property
    def about(self) -> str:
        """What passages are searched for."""
        return first_tokens(
            strip_special_tokens(self.topic or self.draft or self.reply_to or ""), SEARCHED_TOKENS
        )

    @property
    def prompt_kind(self) -> str:
        """The name of the prompt, as the request log has it."""
        if self.kind == "reply":
            return "reply"
        if self.kind == "rewrite":
            return "rewrite"
        return "from_draft" if self.draft else PROMPT_OF[self.kind].removeprefix("serving/")

    def max_tokens(self, most: int) -> int:
        """Tokens that the answer may have, at most `most`."""
        if self.words is None:
            return most
        unspaced = self.language == "ja" or (self.language is None and has_unspaced(self.about))
        rate = UNSPACED_TOKENS_A_WORD if unspaced else TOKENS_A_WORD
        return min(most, round(self.words * rate) + TOKENS_TO_END)

    def task(self) -> str:
        """The request in words. Without wishes it is exactly what the twin was trained with."""
        return self.with_wishes(self._bare_task())

    def with_wishes(self, task: str) -> str:
        """A task with what this brief wishes for besides."""
        wishes = [
            FORMALITY.get(self.formality or ""), ENERGY.get(self.energy or ""), HUMOUR.get(self.humour or ""),
            f"About {self.words} words." if self.words else None,
            f"In {LANGUAGES[self.language]}." if self.language else None,
            f"What to say: {strip_special_tokens(self.topic)}" if self.topic and self.kind in ("reply", "rewrite") else None,
            f"Topic: {strip_special_tokens(self.topic)}" if self.topic and self.draft and self.kind in FORM_OF else None,
        ]  # fmt: skip
        told = " ".join(wish for wish in wishes if wish)
        return render("serving/wishes", task=task, wishes=told) if told else task

    def _bare_task(self) -> str:
        if self.kind == "reply":
            return render("serving/reply", text=strip_special_tokens(self.reply_to or ""))
        if self.kind == "rewrite":
            return render("rewrite", draft=strip_special_tokens(self.draft or ""))
        if self.draft:
            return render(
                "serving/from_draft", form=FORM_OF[self.kind], draft=strip_special_tokens(self.draft)
            )
        return render(PROMPT_OF[self.kind], topic=strip_special_tokens(self.topic or ""))
