"""Which words say what a text is about, and which only how its author writes: the one home of such lists.

Three rules, one for each use. Function words, the closed classes, stay readable when a text's topic is masked. Content
words leave out those and the general words of English too. Topic words are longer words that aren't function words.
In scripts without spaces (see `words`) length says little; what tells there is `tells`.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from twin_assets.core.text.words import UNSPACED, has_unspaced, spaced

_ENGLISH = """
a an the this that these those such same other another each every either neither both all some any no none
few many much more most less least several enough own half
i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself
we us our ours ourselves they them their theirs themselves one ones oneself
someone somebody something anyone anybody anything everyone everybody everything nobody nothing
who whom whose which what whoever whatever whichever
be am is are was were been being have has had having do does did done doing
can could may might must shall should will would ought need dare used
isn't aren't wasn't weren't haven't hasn't hadn't don't doesn't didn't can't cannot couldn't shouldn't won't
wouldn't mustn't needn't ain't
i'm i've i'd i'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's it'd it'll we're we've
we'd we'll they're they've they'd they'll that's there's here's what's who's where's how's let's that'd
about above across after against along amid among around at before behind below beneath beside besides
between beyond by despite down during except for from in inside into like near of off on onto out outside
over past per since through throughout till to toward towards under until unlike up upon via with within
without
and but or nor so yet for because although though while whereas if unless whether as than then once when
whenever where wherever why how lest provided
not never always often sometimes usually rarely seldom ever again already still yet just only even also too
very quite rather really actually simply merely almost nearly hardly perhaps maybe probably certainly indeed
however therefore thus hence moreover furthermore nevertheless nonetheless otherwise instead meanwhile
anyway somehow somewhat together apart away back here there now later soon today everywhere nowhere
first second last next two three four five
yes well oh okay please ok
get gets got getting go goes went going gone come comes came make makes made let say says said
know think want thing things way lot kind sort
"""

# Function words, and the general words that tell nothing of what a text is about.
_GENERAL = """
a about above across actually after again against al all almost along already also although always among an
and another any anything are around as at away back basically be became because become been before behind
being below best better beyond bit both bottom bring bunch but by called came can can't certain clearly com
come comes coming could couple course day days did didn't different do does doing don't done down during
each easily either else end enough especially et even ever every everyone everything example fact far few
find first for forward found from full further gave general get getting give given gives go goes going gone
good got great had happen happened hard has have haven't having he her here here's herself him himself his
hour hours how however http https i i'd i'll i'm i've if important in including instead into is isn't it
it'd it'll it's its itself just keep kind knew know large last later least left less let let's like likely
little long looked looking lot lots made mainly make making many matter maybe me mean means might mine
minute minutes moment month months more most much must my myself near nearly need needed needs never next no
nobody none nor not nothing now number obviously of off often okay old on once one only onto or other others
others' our ourselves out over own part people per perhaps place point possible pretty probably put quite
rather real really reason recently right said same saw say says see seems seen several shall she should
since so some sort start started still stuff such super sure take tell than thank thank's that that's the
their them themselves then there there's therefore they they're they've thing things think this those though
thought three through time times to today together told tomorrow too took top totally toward towards trying
turn two under until up upon us use used using usually very want wanted wants was wasn't way ways we we'd
we'll we're we've week weeks well went were what what's whatever when where whether which while who whole
whose why will with within without won't words work would wouldn't www year years yesterday yet you you'd
you're you've your
"""
# The same of Japanese, Chinese and Thai, as ICU divides them: those that `tells` would let pass.
_UNSPACED_STOP = """
今日 今回 昨日 明日 最近 自分 場合 必要 一番 一応 以上 以下 以外 以前 以降 多分 結構 全部 部分 普通 時間 問題 感じ 為に 後で 前に 次に
特に 例えば 本当 本当に 実際 大体 色々 様々 私達 彼等 何故 何か 何も 同じ 出来 思う 思い 思っ 思います 言う 言っ 見る 見て 使う 使っ 使って
我们 你们 他们 她们 它们 自己 这个 那个 这些 那些 这里 那里 这样 那样 什么 怎么 怎样 为什么 因为 所以 但是 可是 不过 而且 并且 或者 如果 虽然 然后
还是 就是 也是 都是 不是 只是 可以 可能 应该 需要 没有 已经 正在 现在 今天 昨天 明天 时候 一个 一些 一样 一下 一起 非常 比较 觉得 知道 很多 很好 其实
我們 你們 他們 這個 這些 這裡 這樣 甚麼 什麼 怎麼 為什麼 因為 雖然 還是 沒有 已經 現在 時候 一樣 覺得
ที่ และ ของ เป็น ได้ ไม่ ให้ กับ ว่า นี้ นั้น จาก แต่ โดย ความ หรือ แล้ว อยู่ อย่าง เพราะ ถ้า เรา ฉัน ผม คุณ เขา เธอ มัน พวก ทุก
หลาย มาก น้อย ต้อง เคย เลย ด้วย ซึ่ง เมื่อ ตอน วัน นะ ครับ ค่ะ คะ การ กัน ขึ้น ลง ออก เข้า ทำ ถึง ยัง อีก แค่ เพียง ก่อน หลัง
"""

ENGLISH: frozenset[str] = frozenset(_ENGLISH.split())
_STOP = frozenset(_GENERAL.split())
_NO_TELLING = frozenset(_UNSPACED_STOP.split())

NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|https?://\S+|\]\((?:[^()]++|\([^()]*+\))*+\)|<[^<>]++>", re.DOTALL)
# A mark of italics behind a word is no part of it.
_TOKEN = re.compile(rf"[{UNSPACED}]+|[^\W\d_][\w'’+-]*(?<!_)|\n\n|[^\s\w]")
_LONG = re.compile(rf"[{UNSPACED}]+|[^\W\d_]{{4,}}")
_LONG_OR_NUMBER = re.compile(rf"[{UNSPACED}]+|\d+|[^\W\d_]{{4,}}")
_HIRAGANA = re.compile("[\u3041-\u3096]")
_HAN_OR_KATAKANA = re.compile(
    "[\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)
_KANA_OR_HAN = re.compile(
    "[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]"
)

# A noun phrase of more words is seldom one.
LONGEST = 3
_NOUN_WORDS = (
    "the a an of in for with on my our your their his her its these those each every any no from by at about "
    "into over under between through without"
)
_VERB_WORDS = (
    "to i you we they he she it who will would can could should may might must not don't doesn't didn't can't "
    "won't let's and then"
)
_BEFORE_NOUNS, _BEFORE_VERBS = (frozenset(w.split()) for w in (_NOUN_WORDS, _VERB_WORDS))

# English prose is about half function words; far below that the text is in another language.
MIN_COVER = 0.3
FALLBACK = 200


def function_words(words_by_text: list[list[str]]) -> frozenset[str]:
    """The words to leave readable: the English list, or the texts' own most widespread words.

    Takes lower-cased words of each text. The fallback, for other languages, is the 200 words that occur in
    the most texts.
    """
    total = sum(len(words) for words in words_by_text)
    english = sum(word in ENGLISH for words in words_by_text for word in words)
    if total and english / total >= MIN_COVER:
        return ENGLISH
    spread = Counter(word for words in words_by_text for word in set(words))
    ranked = sorted(spread.items(), key=lambda item: (-item[1], item[0]))
    return frozenset(word for word, _ in ranked[:FALLBACK])


def tells(word: str) -> bool:
    """Whether a word of a script without spaces says what a text is about.

    Particles, endings and pronouns are written in hiragana, or are single characters; what is left of general words is
    listed for Japanese, Chinese and Thai.
    """
    if word in _NO_TELLING:
        return False
    if _KANA_OR_HAN.search(word):
        return len(word) > 1 and _HAN_OR_KATAKANA.search(word) is not None
    return len(word) > 2


def names(word: str) -> bool:
    """Whether a word of a script without spaces may be part of a noun phrase: in Japanese, one without hiragana."""
    return has_unspaced(word) and tells(word) and _HIRAGANA.search(word) is None


def content_words(text: str) -> list[str]:
    """The words of a text that say what it is about, in order, in lower case."""
    return [word_key(token) for token in tokens(text) if is_content(token)]


def topic_words(text: str, numbers: bool = False) -> list[str]:
    """Lower-case words of four letters or more that aren't function words, and those that tell in scripts without
    spaces; with `numbers` also runs of digits."""
    candidates = (_LONG_OR_NUMBER if numbers else _LONG).findall(spaced(text.lower()))
    return [word for word in candidates if not is_function_word(word)]


def is_function_word(word: str) -> bool:
    """Whether a lower-case word only joins others: one of the English list, or in scripts without spaces one that
    doesn't tell."""
    return not tells(word) if has_unspaced(word) else word in ENGLISH


def k_precision(words: list[str], passage_words: Collection[str]) -> float:
    """Share of an answer's words that stand among those of its passages; 0 without any.

    K-Precision, the measure nearest to people's judgement of faithfulness in Adlakha et al., "Evaluating
    Correctness and Faithfulness of Instruction-Following Models for Question Answering" (2023). Which words carry
    facts is the caller's choice; both sides are taken by the same rule.
    """
    return sum(word in passage_words for word in words) / len(words) if words else 0.0


def grounded_share(answer: str, passages: str) -> float:
    """`k_precision` of an answer's content words."""
    return k_precision(content_words(answer), set(content_words(passages)))


def tokens(text: str) -> list[str]:
    """Words, punctuation marks and paragraph ends of a text's prose."""
    return _TOKEN.findall(spaced(NOT_PROSE.sub(" ", text)).replace("’", "'"))


def word_key(word: str) -> str:
    """A word as content words are compared."""
    return word.lower().removesuffix("'s")


def is_content(token: str) -> bool:
    """Whether a token is a word that says what a text is about."""
    if has_unspaced(token):
        return tells(token)
    if not token[:1].isalpha() or word_key(token) in _STOP:
        return False
    return len(token) > 3 or (len(token) > 1 and token.isupper())


class NounPhrases:
    """The noun phrases of a corpus's texts, told by how the corpus uses its words; fitted on all texts once.

    Candidates are runs of content words, as in RAKE (Rose et al., "Automatic keyword extraction from individual documents",
    2010), but only where an English article, preposition or possessive, or a capital inside a sentence, says that a noun phrase
    begins. In scripts without spaces a noun phrase is a run of nouns, as their dictionaries and spelling tell them.
    """

    def __init__(self, texts: Iterable[list[str]]) -> None:
        """`texts` are the `tokens` of each."""
        self._as_noun: Counter[str] = Counter()
        self._as_verb: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self._last: Counter[str] = Counter()
        for parts in texts:
            for before, word, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
                self._count[word_key(word)] += 1
                self._as_noun[word_key(word)] += before.lower() in _BEFORE_NOUNS
                self._as_verb[word_key(word)] += before.lower() in _BEFORE_VERBS
                self._last[word_key(word)] += not is_content(after)

    def of(self, parts: list[str]) -> Iterator[list[str]]:
        """Every noun phrase, and the phrases it begins with: "tide table import", "tide table", "tide"."""
        for at, token in enumerate(parts):
            before = parts[at - 1] if at else ""
            inside = before[:1].isalpha() or before in ("-", "/")
            begins = before.lower() in _BEFORE_NOUNS or (inside and token[0].isupper()) or names(token)
            if not is_content(token) or not begins:
                continue
            run = []
            for word in parts[at : at + LONGEST]:
                if not is_content(word) or (has_unspaced(word) and not names(word)):
                    break
                run.append(word)
            for length in range(1, len(run) + 1):
                name_goes_on = length < len(run) and run[length - 1][0].isupper() and run[length][0].isupper()
                if not name_goes_on and self._can_end(run[length - 1]):
                    yield run[:length]

    def _can_end(self, word: str) -> bool:
        """Whether a noun phrase may end with this word, by how the corpus uses it: no verb, no adjective."""
        if has_unspaced(word):
            return True
        key = word_key(word)
        if key.endswith(("ly", "ed", "n't", "'re", "'ve", "'ll", "'d")):
            return False
        if self._as_verb[key] + key.endswith("ing") > self._as_noun[key]:
            return False
        return 2 * self._last[key] >= self._count[key]
