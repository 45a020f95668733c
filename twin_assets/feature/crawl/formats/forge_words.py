"""A person's own words in an issue, a pull request or a comment, without what the forge and others put there."""

import re

from twin_assets.feature.crawl.formats.talks.quoted_mail import own_part

_HTML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})\s*([\w-]*)")
_CHECK_BOX = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+\[[ xX]?\](?:\s|$)")
_HEADING = re.compile(r"^\s{0,3}(?:#{1,6}\s+(?P<marked>.+?)\s*#*|\*\*(?P<bold>[^*]{3,90})\*\*:?)\s*$")
# Headings of the forms that forges and projects hand out, whole and in any case.
_FORM_HEADING = re.compile(
    r"(?:describe the (?:bug|issue|problem|solution|feature).*|(?:steps )?to reproduce.*|steps? (?:to|for) reproduc\w+.*|reproduction.*"
    r"|how to reproduce.*|(?:expected|actual|current|observed) (?:behaviou?r|results?|outcome).*|what (?:did you|happened|should have).*"
    r"|what (?:you expected|actually happen\w*).*|screenshots?.*|additional (?:context|information|notes?|details)"
    r"|anything else.*|.*\(please complete.*|.*\(place an? .*|requirements|environment|versions?|your environment|(?:minimal )?reproducible example"
    r"|(?:possible|suggested) (?:solution|fix).*|is your feature request related.*|describe alternatives.*|(?:bug|feature) (?:report|request)"
    r"|(?:pr |pull request )?check ?list:?|(?:types?|kind) of change.*|how has this been tested\??|test plan|motivation and context"
    r"|related issues?.*|(?:linked|fixes) issues?|(?:proposed )?changes|description|summary|context|contact details|code of conduct"
    r"|relevant log output|prerequisites|preflight checklist|before (?:submitting|you).*|issue type|what (?:does|is) this (?:pr|mr|pull request).*"
    r"|what version.*|which operating system.*|platform|operating system|component|severity|release notes?|does this introduce.*)",
    re.IGNORECASE,
)
_MAX_LINE = 400  # characters of a line that a form could have
_MARK = re.compile(r"^\s{0,3}(#{1,6})\s")
_PLACEHOLDER = re.compile(
    r"^\s*(?:_no response_|a clear and concise description of.*|if applicable,? add .*|.*\[e\.g\.[^\]]*\].*|add any other context.*"
    r"|steps to reproduce the behaviou?r.{0,20}|\d\. (?:go to|click on|scroll down to) '\.+.*|\d\. see error|please (?:describe|include|delete|list|add|provide) .{0,120}"
    r"|(?:fixes|closes|resolves) #\s*\(?(?:issue)?\)?\s*)$",
    re.IGNORECASE,
)


def own_words(body: str) -> str:
    """What the writer of an issue or comment wrote: Markdown, "" when nothing is left.

    Out are comments of a template, its headings, prompts and check boxes, mail that the comment answers, and blocks
    of suggested code. Lines quoted with `>` stay as quotations.
    """
    text = _HTML_COMMENT.sub("", body.replace("\r\n", "\n"))
    text = _answer(text)
    lines: list[tuple[str, bool]] = []  # a line, and whether it is code
    fence, suggested = "", False
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and (not fence or (mark[1].startswith(fence) and not mark[2])):
            opens = not fence
            fence = mark[1] if opens else ""
            if opens:
                suggested = mark[2].startswith("suggestion")
            if not suggested:
                lines.append((line, True))
            suggested = suggested and opens
        elif fence:
            if not suggested:
                lines.append((line, True))
        elif not _is_forms(line):
            lines.append((line, False))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(_without_empty_headings(lines))).strip()


def _answer(text: str) -> str:
    """The text without a mail that it answers; a comment that only quotes lines is left as it is."""
    own = own_part(text)
    unquoted = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(">"))
    return text if own.split() == unquoted.split() else own


def _is_forms(line: str) -> bool:
    """Whether a line is a form's own: its box, prompt or heading."""
    if _CHECK_BOX.match(line):
        return True
    return len(line) <= _MAX_LINE and (bool(_PLACEHOLDER.match(line)) or _is_form_heading(line))


def _is_form_heading(line: str) -> bool:
    match = _HEADING.match(line)
    title = (match["marked"] or match["bold"]).strip(" *_:") if match else ""
    return bool(title) and _FORM_HEADING.fullmatch(re.sub(r"^\W+", "", title)) is not None


def _without_empty_headings(lines: list[tuple[str, bool]]) -> list[str]:
    """Lines without the headings that nothing follows before the next of their kind, or at all."""
    staying: list[str] = []
    following = 0  # how deep a heading the next line with words is; 7: it is none; 0: there is none
    for line, is_code in reversed(lines):
        mark = None if is_code else _MARK.match(line)
        depth = len(mark[1]) if mark else 7
        if depth < 7 and following <= depth:
            continue
        if line.strip():
            following = depth
        staying.append(line)
    return staying[::-1]
