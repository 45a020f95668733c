"""English function words: the closed classes, which say how someone writes and not what about.

What is in the list stays readable when a text's topic is masked; everything else becomes asterisks.
"""

from collections import Counter

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

ENGLISH: frozenset[str] = frozenset(_ENGLISH.split())

# English prose is about half function words; far below that the text is in another language.
MIN_COVER = 0.3
FALLBACK = 200


def function_words(words_by_text: list[list[str]]) -> frozenset[str]:
    """The words to leave readable: the English list, or the texts' own most widespread words.

    Takes lower-cased words of each text. The fallback, for other languages, is the 200 words that occur in
    the most texts.
    """
    total = sum(len(words) for words in words_by_text)
    known = sum(word in ENGLISH for words in words_by_text for word in words)
    if total and known / total >= MIN_COVER:
        return ENGLISH
    spread = Counter(word for words in words_by_text for word in set(words))
    ranked = sorted(spread.items(), key=lambda item: (-item[1], item[0]))
    return frozenset(word for word, _ in ranked[:FALLBACK])
