"""Texts that make a pattern work hardest, made from the pattern itself: what it repeats, again and again, and then what
it can't end with.

A repeat takes long where the same letters can be divided in many ways (adjacent repeats), or where each place of the
text begins a search that runs to its end. Both show as time that grows faster than the text.
"""

import ast
import importlib
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from time import process_time
from typing import Any, NamedTuple

from tests.support.machine import growth

ROOT = Path(__file__).resolve().parents[2]
STEEP = 7.0  # of the time for four times the length: linear is 4, quadratic 16
LONG = 64  # a repeat that may take so many is long enough to count
CALLS = {"compile", "search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
SAMPLES = [
    *map(chr, range(32, 127)),
    "\n",
    "\t",
    "\u00e9",
    "\u3042",
    "\u6f22",
    "\u2019",
    "\u0e01",
    "\ufeff",
    "\u00ad",
]
ENDS = ("", "\0", "!", "x", " ", "\n\0")


class Found(NamedTuple):
    """A pattern of the code: where it stands, and how it is asked."""

    where: str
    pattern: re.Pattern[str]
    methods: frozenset[str]


class NotReadable(NamedTuple):
    """A pattern that is put together at run time, so that it can't be read from the source."""

    where: str
    source: str


def patterns_of(path: Path) -> tuple[list[Found], list[NotReadable]]:
    """All patterns of a module: those it holds, and those that its functions name."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    module = importlib.import_module(name.removesuffix(".__init__"))
    text = path.read_text()
    found = [
        Found(f"{path.relative_to(ROOT)} {where}", p, _methods(where, text))
        for where, p in _held(vars(module))
    ]
    unread = []
    seen = {(f.pattern.pattern, f.pattern.flags) for f in found}
    for call in (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)):
        if not (isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name)):
            continue
        if call.func.value.id != "re" or call.func.attr not in CALLS:
            continue
        where = f"{path.relative_to(ROOT)}:{call.lineno}"
        flags = [k.value for k in call.keywords if k.arg == "flags"]
        spare = call.args[{"compile": 1, "sub": 4, "subn": 4, "split": 3}.get(call.func.attr, 2) :]
        try:
            source = _value(call.args[0], module)
            pattern = source if isinstance(source, re.Pattern) else re.compile(
                source, sum(int(_value(f, module)) for f in [*flags, *spare[:1]])
            )  # fmt: skip
        except NameError:
            unread.append(NotReadable(where, ast.unparse(call.args[0])))
            continue
        if (pattern.pattern, pattern.flags) in seen and call.func.attr == "compile":
            continue
        method = "search" if call.func.attr == "compile" else call.func.attr
        found.append(Found(where, pattern, frozenset({method})))
    return found, unread


def _value(node: ast.expr, module: Any) -> Any:
    return eval(compile(ast.Expression(node), "pattern", "eval"), vars(module))


def _held(names: dict[str, Any]) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Patterns at module level, also inside tuples, lists and dictionaries; not those imported from elsewhere."""

    def within(value: Any, depth: int = 0) -> Iterator[re.Pattern[str]]:
        if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
            yield value
        elif isinstance(value, (tuple, list, set, frozenset)) and depth < 4:
            for one in value:
                yield from within(one, depth + 1)
        elif isinstance(value, dict) and depth < 4:
            for one in value.values():
                yield from within(one, depth + 1)

    for name, value in list(names.items()):
        if not name.startswith("__"):
            for pattern in within(value):
                yield name, pattern


def _methods(name: str, text: str) -> frozenset[str]:
    """How the module asks a pattern of that name, or one that a loop takes out of what has that name; `search` where it
    doesn't say."""
    names = [name, *re.findall(rf"\bfor (?:\w+, )*(\w+) in {name}\b", text)]
    told = re.findall(rf"\b(?:{'|'.join(names)})\.({'|'.join(CALLS - {'compile'})})\b", text)
    return frozenset(told) or frozenset({"search"})


class Attack(NamedTuple):
    """`lead`, then `pump` again and again, then `end`."""

    lead: str
    pump: str
    end: str

    def text(self, size: int) -> str:
        return self.lead + self.pump * (size // len(self.pump) + 1) + self.end


def attacks_on(pattern: re.Pattern[str]) -> list[Attack]:
    """A few for each long repeat of the pattern, in an order that depends on the pattern only."""
    found: dict[Attack, None] = {}
    for before, pump in _pumps(
        _parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE), "", pattern.pattern
    ):
        for end in ENDS:
            found[Attack("", pump, end)] = found[Attack(before, pump, end)] = None
            if before:
                for again in (before, before + pump, before + pump * 20):
                    found[Attack("", again, end)] = None
    return list(found)


def ask(pattern: re.Pattern[str], method: str, text: str) -> None:
    """All that the method finds."""
    if method in ("sub", "subn"):
        pattern.sub("", text)
    elif method == "finditer":
        deque(pattern.finditer(text), maxlen=0)
    else:
        getattr(pattern, method)(text)


def hanging(pattern: re.Pattern[str], method: str) -> tuple[Attack | None, list[Attack]]:
    """An attack that takes long already where it is short, if there is one, and those that take longest."""
    left = attacks_on(pattern)
    for size, kept, long in [(n, len(left), 0.005) for n in range(16, 65, 8)] + [
        (300, 10, 0.05),
        (1_200, 3, 0.05),
    ]:
        cost = {}
        for attack in left:
            text = attack.text(size)
            cost[attack] = _cost(pattern, method, text)
            # Once more, since a pause of the interpreter looks the same.
            if cost[attack] > long and _cost(pattern, method, text) > long:
                return attack, left
        left = sorted(left, key=cost.__getitem__)[-kept:]
    return None, left


def _cost(pattern: re.Pattern[str], method: str, text: str) -> float:
    start = process_time()
    ask(pattern, method, text)
    return process_time() - start


def steepest(pattern: re.Pattern[str], method: str) -> tuple[float, Attack | None]:
    """How many times as long the worst attack (or the first beyond STEEP) takes at four times the length (about 4 where
    time is linear, infinite
    where already a short one takes long), and that attack."""
    hangs, left = hanging(pattern, method)
    if hangs:
        return float("inf"), hangs
    worst: tuple[float, Attack | None] = (1.0, None)
    for attack in reversed(left):
        times = growth(lambda size, a=attack: ask(pattern, method, a.text(size)), 4_000, 4)
        worst = max(worst, (times, attack), key=lambda one: one[0])
        if times > STEEP:
            break
    return worst


def _pumps(tree: Any, before: str, signs: str) -> Iterator[tuple[str, str]]:
    """Each long repeat: a text that leads to it, and one that it takes once."""
    for at, (op, arg) in enumerate(tree):
        lead = before + _example(list(tree)[:at])
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            _, most, body = arg
            if most is sre.MAXREPEAT or most >= LONG:
                for pump in _examples(body, signs):
                    if pump:
                        yield lead, pump
            yield from _pumps(body, lead, signs)
        elif op is sre.SUBPATTERN:
            yield from _pumps(arg[3], lead, signs)
        elif op is sre.ATOMIC_GROUP:
            yield from _pumps(arg, lead, signs)
        elif op is sre.BRANCH:
            for branch in arg[1]:
                yield from _pumps(branch, lead, signs)
        elif op in (sre.ASSERT, sre.ASSERT_NOT):
            yield from _pumps(arg[1], lead, signs)


def _examples(tree: Any, signs: str) -> list[str]:
    """A few texts that the tree takes: where it is one set of letters, one of each kind."""
    items = list(tree)
    if len(items) == 1:
        op, arg = items[0]
        if op is sre.BRANCH:
            return [text for branch in arg[1] for text in _examples(branch, signs)][:12]
        if op is sre.SUBPATTERN:
            return _examples(arg[3], signs)
        if op is sre.ATOMIC_GROUP:
            return _examples(arg, signs)
        if op in (sre.IN, sre.ANY, sre.NOT_LITERAL, sre.LITERAL):
            return _letters(items[0], signs)
    return [_example(items)]


def _letters(item: Any, signs: str = "") -> list[str]:
    """One letter of each kind that an item takes; each sign that the pattern names is a kind."""
    kinds: dict[str, str] = {}
    for letter in SAMPLES:
        if _takes(item, letter):
            kind = (
                "space" if letter == " " else "line" if letter == "\n" else "digit" if letter.isdigit()
                else "upper" if letter.isupper() else "letter" if letter.isascii() and letter.isalpha()
                else letter if letter in signs else "sign"
            )  # fmt: skip
            kinds.setdefault(kind, letter)
    if not kinds:
        op, arg = item
        if op is sre.IN:
            for o, a in arg:
                if o is sre.RANGE:
                    return [chr(a[0])]
                if o is sre.LITERAL:
                    return [chr(a)]
        return ["\U00020000"]
    return list(kinds.values())[:24]


def _takes(item: Any, letter: str) -> bool:
    op, arg = item
    if op is sre.LITERAL:
        return ord(letter) == arg
    if op is sre.NOT_LITERAL:
        return ord(letter) != arg
    if op is sre.ANY:
        return letter != "\n"
    if op is sre.IN:
        entries = list(arg)
        negate = entries[0][0] is sre.NEGATE
        told = any(_in(e, letter) for e in entries[negate:])
        return told != negate
    return False


def _in(entry: Any, letter: str) -> bool:
    op, arg = entry
    if op is sre.LITERAL:
        return ord(letter) == arg
    if op is sre.RANGE:
        return arg[0] <= ord(letter) <= arg[1]
    if op is sre.CATEGORY:
        return {
            sre.CATEGORY_DIGIT: letter.isdigit(), sre.CATEGORY_NOT_DIGIT: not letter.isdigit(),
            sre.CATEGORY_SPACE: letter.isspace(), sre.CATEGORY_NOT_SPACE: not letter.isspace(),
            sre.CATEGORY_WORD: letter.isalnum() or letter == "_",
            sre.CATEGORY_NOT_WORD: not (letter.isalnum() or letter == "_"),
        }[arg]  # fmt: skip
    return False


def _example(items: Any) -> str:
    """A short text that the items take."""
    text = ""
    for op, arg in items:
        if op in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN):
            letters = _letters((op, arg))
            text += next((c for c in letters if c.isalnum()), letters[0])
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            text += _example(arg[2]) * min(arg[0], 40)
        elif op is sre.SUBPATTERN:
            text += _example(arg[3])
        elif op is sre.ATOMIC_GROUP:
            text += _example(arg)
        elif op is sre.BRANCH:
            text += _example(arg[1][0])
        elif op is sre.AT and arg in (sre.AT_BEGINNING, sre.AT_BEGINNING_LINE) and text:
            text += "\n"
    return text
