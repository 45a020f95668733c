"""Who counts as the persona in a byline, a commit, a sender or an account name."""

import re
import unicodedata
from dataclasses import dataclass
from email.utils import parseaddr
from typing import TYPE_CHECKING

from nicknames import NickNamer

if TYPE_CHECKING:
    from twin_assets.core.persona.definition import Persona

_BY = re.compile(
    r"^(?:(?:(?:posted|written|published|words|text|story|article|a post|essay|authored|geschrieben|text|publié|écrit|"
    r"escrito|publicado|scritto|geschreven|skrevet|skriven)\s+)?(?:by|von|par|por|di|da|door|af|av)|authors?|autore?|auteur|autorin)"
    r"\s*:?\s+|^(?:text|words|著者|文|作者)\s*[:：]\s*",
    re.IGNORECASE,
)
_TITLES = re.compile(
    r"^(?:(?:dr|prof|mr|mrs|ms|mx|herr|frau|sir|dame|rev|ing|dipl)\b\.?(?:-ing\.?)?\s+)+", re.IGNORECASE
)
_PRONOUNS = re.compile(
    r"(?<!\s)\s*+(?:[(\[](?:[a-z]{1,7}\s*+[/,]\s*+){1,3}[a-z]{1,7}[)\]]|\((?:author|autor|autorin|auteur)\))$",
    re.IGNORECASE,
)
_NICKNAMES = NickNamer()
MAX_LETTERS = 1_000  # of a byline; no name is longer, and a page may say anything
_FOR = re.compile(r"(?<!\s)\s++(?:for|für|pour|para|at|in)\s++\S.*+$", re.IGNORECASE)


@dataclass(frozen=True)
class Identity:
    """The names, handles and e-mail addresses of one person, each in its compared form."""

    names: frozenset[str]
    addresses: frozenset[str]

    @classmethod
    def of(cls, persona: "Persona") -> "Identity":
        """Full name, `also_known_as` and the account names that the sources declare."""
        given = [persona.full_name, persona.name, *persona.also_known_as]
        given += [part.user for part in (persona.github, persona.gitlab) if part]
        return cls.from_names(given)

    @classmethod
    def from_names(cls, given: list[str]) -> "Identity":
        """Names and handles in any order; what has an @ inside is an e-mail address (or a full handle)."""
        addresses = {fold for text in given if (fold := _address(text))}
        names = {fold for text in given if (fold := _name(text))}
        names |= {called for name in names for called in _short_and_long(name)}
        return cls(frozenset(names), frozenset(addresses))

    def is_named(self, byline: str | None) -> bool:
        """Whether a name, handle, `Name <address>` or profile address names this person.

        Case, accents' composition, a leading @ or "By", titles, pronouns, pictures, where it was written for
        (`Ada Example for The Clock`), and the order `Last, First` make no difference; nor does it whether a full name
        bears the short or the long form of an English given name (Jessie, Jessica; Bob, Robert).
        """
        text = (byline or "").strip()[:MAX_LETTERS]
        if not text:
            return False
        if (address := _address(text)) and address in self.addresses:
            return True
        shown = parseaddr(text)[0] if "<" in text else text
        last = text.rstrip("/").rsplit("/", 1)[-1] if "://" in text else ""
        plain = _bare(shown)
        forms = (shown, last, _turned(shown), plain, _FOR.sub("", plain) if " " in plain else "")
        return any(_name(form) in self.names for form in forms if form)

    def accepts(self, *bylines: str | None) -> bool:
        """Whether a piece with these bylines is this person's: there are none, or one of them is theirs."""
        signed = [line for line in bylines if line and line.strip()]
        return not signed or any(self.is_named(line) for line in signed)


def _name(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    return re.sub(r"[\s_]+", " ", _BY.sub("", plain).removeprefix("@")).strip(" .,")


def _short_and_long(name: str) -> list[str]:
    """A full name with every other form of its given name: what signs as Jessica is often called Jessie."""
    first, space, rest = name.partition(" ")
    return [
        f"{form} {rest}" for form in _NICKNAMES.nicknames_of(first) | _NICKNAMES.canonicals_of(first) if space
    ]


def _bare(line: str) -> str:
    """A byline's name without what stands around it."""
    letters = "".join(c for c in line[:300] if unicodedata.category(c) not in ("So", "Sk", "Cf", "Cs"))
    return _PRONOUNS.sub("", _TITLES.sub("", _BY.sub("", letters.strip()))).strip(" .,*_|-–—•·")


def _address(text: str) -> str:
    address = parseaddr(text)[1] if "<" in text else text
    address = address.strip().casefold().removeprefix("mailto:").removeprefix("@")
    return address if re.fullmatch(r"[^@\s]+@[^@\s]+", address) else ""


def _turned(name: str) -> str:
    last, comma, first = name.partition(",")
    return f"{first.strip()} {last.strip()}" if comma else ""
