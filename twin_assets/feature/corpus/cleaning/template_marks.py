"""Marks in Markdown that a site builder or a note-taking program reads and a reader never sees.

Jekyll's and Hugo's tags, kramdown's and pandoc's attributes, comments, embeds, scripts, metadata lines. Code keeps
what it shows: a mark becomes a sign of the private use area, which `Marks.shown` turns back inside code.
"""

import re
from html import unescape
from textwrap import dedent, indent

_OPEN, _CLOSE = "\U000ff0fa", "\U000ff0fb"
_SIGN = re.compile(f"{_OPEN}(\\d+){_CLOSE}")
# Stands for what is left out of a line, so that the spaces on both sides become one.
GONE = _OPEN + _CLOSE
_GONE = re.compile(f"[ \\t]?(?:{_OPEN}\\d*{_CLOSE})+(?=[ \\t.,;:!?)]|$)|{_OPEN}\\d*{_CLOSE}", re.MULTILINE)
_VALUE = r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s}\"']+)"
_ATTRIBUTES = rf"(?:\s*(?:[#.][\w:.-]+|[\w:-]+={_VALUE}))"
_EMBEDS = r"twitter-(?:tweet|video)|instagram-media|tiktok-embed|bluesky-embed|mastodon-embed|reddit-(?:embed|card)|imgur-embed|fb-post"

_BRACKETS = "code|sourcecode|python|php|ruby|java|javascript|js|css|html|xml|cpp|c|csharp|bash|shell|sql|perl|lua|glsl|scala|objc|vb|diff|text|plain"

# A pair of marks is at most 30,000 letters apart: a text of openings alone must not take for ever.
# Whichever begins first wins, so a comment in code is code, and code in a comment is comment.
_MARKS = re.compile(
    "|".join(
        f"(?:{pattern})"
        for pattern in (
            # Fenced code (also in quotations and lists), to its end or the text's; spans of code within a paragraph.
            r"(?P<fenced>^(?:[ \t>]|[-*+][ \t]|\d+[.)][ \t])*(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})[^\n]*\n.*?(?:^[ \t>]*(?P=fence)[`~]*[ \t]*$|\Z))",
            r"(?P<span>(?<!`)(?P<ticks>`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)(?P=ticks)(?!`))",
            # Code of Jekyll, Octopress, Hexo and Hugo.
            r"\{%-?[ \t]*(?P<tag>highlight|codeblock|code)\b(?P<words>[^%\n]{0,300})%\}(?P<code>.{0,30000}?)\{%-?[ \t]*end(?P=tag)[ \t]*-?%\}",
            r"\{\{[<%][ \t]*(?P<short>highlight|code|prettify|codeblock)\b(?P<terms>[^<>%\n]{0,300})[>%]\}\}(?P<listing>.{0,30000}?)\{\{[<%][ \t]*/[ \t]*(?P=short)[ \t]*[>%]\}\}",
            # Code of Zola, of WordPress and forums, of Trac and Vimwiki, and of Org and Logseq, whose other blocks are text.
            r"\{%-?[ \t]*(?P<zola>code)\b[ \t]*\((?P<zolas>[^%\n]{0,300})\)[ \t]*-?%\}(?P<zoled>.{0,30000}?)\{%-?[ \t]*end[ \t]*-?%\}",
            rf"^[ \t]*\[(?P<bracket>{_BRACKETS})(?:[ \t=](?P<brackets>[^\]\n]{{0,300}}))?\](?P<bracketed>.{{0,30000}}?)\[/(?P=bracket)\][ \t]*$",
            r"^[ \t]*\{\{\{[ \t]*(?P<braces>[\w+#!-]*)[^\n{}]*\n(?P<braced>.{0,30000}?)^[ \t]*\}\}\}[ \t]*$",
            r"^[ \t]*\#\+begin_(?P<org>src|example|quote)\b[ \t]*(?P<orgs>[^\n]*)\n(?P<orged>.{0,30000}?)^[ \t]*\#\+end_(?P=org)[ \t]*$",
            r"^[ \t]*\#\+(?:begin|end)_\w+[^\n]*$",
            # Somebody's words between two tags, as Octopress and Hexo mark them.
            r"\{%-?[ \t]*(?P<cite>blockquote|quote)\b[^%\n]{0,300}%\}(?P<quoted>.{0,30000}?)\{%-?[ \t]*end(?P=cite)[ \t]*-?%\}",
            # What stands between these is never shown, or made anew for each page.
            r"\{%-?[ \t]*(?P<gone>comment|for|schema)\b.{0,30000}?\{%-?[ \t]*end(?P=gone)[ \t]*-?%\}",
            r"\{\{[<%][ \t]*(?P<gone2>comment|mermaid|chart|gallery)\b[^<>%\n]{0,300}[>%]\}\}.{0,30000}?\{\{[<%][ \t]*/[ \t]*(?P=gone2)[ \t]*[>%]\}\}",
            r"\{\#.{0,30000}?\#\}|\{/\*.{0,30000}?\*/\}|<r[tp]\b[^>]*>.{0,300}?</r[tp]\s*>",
            r"\{::comment\}.{0,30000}?\{:/(?:comment)?\}",
            r"<!--.*?(?:-->|\Z)",
            r"^[ \t]*%%[ \t]*$.*?(?:^[^\n]*%%[ \t]*$|\Z)|%%(?:(?!\n[ \t]*\n|%%).)+%%",
            r"<(?P<element>script|style|svg|iframe|video|audio|object|noscript|template)\b[^>]*>.{0,30000}?</(?P=element)\s*>",
            r"<math\b[^>]*>(?P<formula>.{0,30000}?)</math\s*>",
            rf"<(?P<embed>blockquote|div)\b[^>]*class=[\"'][^\"']*(?:{_EMBEDS})[^>]*>.{{0,30000}}?</(?P=embed)\s*>",
            r"^[ \t]*:LOGBOOK:.{0,30000}?:END:[ \t]*$",
            # A link of Hexo's, which shows the words that it quotes.
            r"\{%[ \t]*post_link[ \t]+\S+[ \t]+(?P<words_quote>[\"'])(?P<shown>[^\n%]{1,300}?)(?P=words_quote)(?:[ \t]+\w+)?[ \t]*%\}",
            # Single marks.
            r"(?P<raw>\{%-?[ \t]*(?:end)?raw[ \t]*-?%\})",
            r"\{%-?\s{0,20}[\w/\#](?:(?!\n[ \t]*\n|%\}).){0,2000}%\}",
            # Doubled braces in a formula are TeX's.
            r"\{\{[<%](?:(?!\n[ \t]*\n|\}\}).){1,2000}\}\}|\{\{(?:(?!\n[ \t]*\n)[^{}\\]){1,2000}\}\}",
            r"<%[-_=*~+ \t\#](?:(?!\n[ \t]*\n|%>).){0,2000}%>",
            r"^[ \t]*(?:[-*+]|1\.)[ \t]+[^\n]*\n[ \t]*\{:toc[^}\n]*\}",
            rf"\{{::?/?[a-z]*{_ATTRIBUTES}*\s*/?\}}(?<!\{{:\}})",
            rf"\{{(?=[ \t]*[#.-]){_ATTRIBUTES}+\s*\}}|\{{\.?unnumbered\}}|\{{-\}}|(?<=[\])]){{{_ATTRIBUTES}+\s*\}}",
            r"^[ \t]{0,3}:{3,}[ \t]*\{[\w-]+\}[^\n]*\n(?:[ \t]*:[\w-]+:[^\n]*\n)*|^[ \t]{0,3}:{3,}[^\n]*$",
            r"<(?:div|section|article|aside|details|span|p)\b[^>]*\bmarkdown=[^>]*>",
            r"\(\([0-9a-f]{8}-[0-9a-f-]{27}\)\)",
            r"^[ \t]*(?:[-*+][ \t]+)?[A-Za-z][\w-]*::(?:[ \t][^\n]*)?$",
            r"(?:(?<=\s)|^)\^(?=[\w-]*[A-Za-z])[A-Za-z0-9][\w-]{2,}[ \t]*$",
            r"^[ \t]*(?:\[\[?_?TOC_?\]?\]|\{\{TOC\}\}|#[A-Za-z][\w/-]*(?:[ \t]+#[A-Za-z][\w/-]*)*)[ \t]*$",
            r"^\*\[[^\]\n]+\]:[^\n]*$",
            # Markdown's first form lets a space stand between the words of a link and its name: [the clock] [1].
            r"(?<=\])(?<!\[[ xX]\])[ ](?P<apart>\[[^\[\]\n]{1,80}\])(?![(:\[])",
            # CommonMark takes an address or a note right below a paragraph for its last line, writers don't.
            r"(?P<below>(?<=[^\n]\n)(?= {0,3}\[(?:\^[^\]\n]+\]:|[^\]\n]+\]:[ \t]*<?(?:https?:|/|\.|\#))))",
        )
    ),
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
# Groups that hold code, and the words after its opening mark.
_CODE = [
    ("code", "words"),
    ("listing", "terms"),
    ("zoled", "zolas"),
    ("bracketed", "brackets"),
    ("braced", "braces"),
    ("orged", "orgs"),
]
_NAMED = re.compile(r"^ {0,3}(\[[^\]\n]{1,80}\]):", re.MULTILINE)
_TEX = re.compile(r"<annotation[^>]*tex[^>]*>(.*?)</annotation>", re.DOTALL)
_RAW = re.compile(r"\{%-?[ \t]*(?:end)?raw[ \t]*-?%\}")


class Marks:
    """The marks of one text. `source` is the text without them, with signs where one may yet be code."""

    def __init__(self, body: str) -> None:
        self._written: list[str] = []
        self._body = re.sub(f"[{_OPEN}{_CLOSE}]", "", body)
        self._named = {name.lower() for name in _NAMED.findall(self._body)}
        self.source = _MARKS.sub(self._replaced, self._body)

    def shown(self, code: str) -> str:
        """Code as written, its signs turned back into marks."""
        return _SIGN.sub(lambda sign: self._written[int(sign[1])], code)

    def hidden(self, prose: str) -> str:
        """Prose without signs."""
        return _GONE.sub("", prose)

    def _replaced(self, mark: re.Match[str]) -> str:
        before = self._body[self._body.rfind("\n", 0, mark.start()) + 1 : mark.start()]
        end = self._body.find("\n", mark.end())
        after = self._body[mark.end() : end if end >= 0 else len(self._body)]
        if mark["span"] is not None:
            return mark[0]
        if mark["formula"] is not None:
            tex = _TEX.search(mark["formula"])
            return f"${unescape(tex[1].strip())}$" if tex else re.sub(r"<[^>]*>|\s+", "", mark["formula"])
        if mark["apart"] is not None:
            return mark["apart"] if mark["apart"].lower() in self._named else mark[0]
        if mark["below"] is not None:
            return "\n"
        if mark["shown"] is not None:
            return str(mark["shown"])
        if mark["fenced"] is not None:
            return _RAW.sub("", mark[0])
        whole_line = not before.strip() and not after.strip()
        margin = before if not before.strip() else ""
        for code, words in _CODE:
            if mark[code] is not None and (mark["org"] or "").lower() != "quote":
                block = _fence(
                    _named_by(mark) or mark[words] or "",
                    dedent(_RAW.sub("", mark[code])) if margin else _RAW.sub("", mark[code]),
                )
                return block.replace("\n", f"\n{margin}") if not before.strip() else f"\n\n{block}\n\n"
        for quoted in (mark["quoted"], mark["orged"]):
            if quoted is not None:
                return indent(quoted.strip(), "> ", lambda line: True) + "\n"
        if whole_line and len(margin.expandtabs(4)) < 4:
            return ""
        self._written.append("" if mark["raw"] is not None else mark[0])
        return f"{_OPEN}{len(self._written) - 1}{_CLOSE}"


def _named_by(mark: re.Match[str]) -> str:
    """The language that a tag itself names: [lua light="true"]."""
    name = (mark["bracket"] or "").lower()
    return "" if name in ("code", "sourcecode", "text", "plain") else name


def _fence(words: str, code: str) -> str:
    """A fenced block; `words` are those after the tag, of which the first may name the language."""
    first = (
        re.sub(r"^(?:lang(?:uage)?\s*[=:])?\s*[\"']?|[\"',].*", "", words.split()[0]) if words.split() else ""
    )
    language = first if re.fullmatch(r"[A-Za-z][\w+#-]*", first) and first != "linenos" else ""
    return fenced(code.rstrip().lstrip("\n"), language)


def fenced(code: str, language: str = "") -> str:
    """Code between fences that are longer than any run of backticks in it."""
    runs = [len(run) for run in re.findall(r"^\s*(`{3,})", code, re.MULTILINE)]
    fence = "`" * max([3, *(n + 1 for n in runs)])
    return f"{fence}{language}\n{code}\n{fence}"
