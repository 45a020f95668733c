"""Markdown as its readers see it: one row for each kind of mark that is no writing, and for each that must stay."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.feature.corpus.cleaning.markdown import join_blocks, markdown_blocks

LINKS = {
    "a link that goes over two lines": ("See [the clock\nof the harbour](https://x.example/c).", ["See the clock of the harbour."]),
    "a link by reference": ("See [the clock][1].\n\n[1]: https://x.example/c 'Clock'", ["See the clock."]),
    "a collapsed reference": ("See [the clock][].\n\n[the clock]: https://x.example/c", ["See the clock."]),
    "an address made by Jekyll": ("See [the clock]({{ site.baseurl }}/c/) and [it]({% link _posts/c.md %}).", ["See the clock and it."]),
    "an address with spaces": ("See [the clock](My notes/c.md) ![x](My notes/c 1.png) now.", ["See the clock now."]),
    "an address in brackets": ("Ask <https://x.example/c>.", ["Ask https://x.example/c."]),
    "a badge": ("[![build](https://x.example/b.svg)](https://x.example)", []),
    "an image in the line": ("The map ![map](m.png), as drawn.", ["The map, as drawn."]),
    "an array in prose": ("Take x[1] and [2] of [[1, 2], [3, 4]].", ["Take x[1] and [2] of [[1, 2], [3, 4]]."]),
}  # fmt: skip

VAULT = {
    "a link with words of its own": ("On [[notes/Tide|the tide]].", ["On the tide."]),
    "a link by name": ("On [[notes/Tide]] and [[Tide#Low water]], [[Tide#^9b526a]].", ["On Tide and Tide > Low water, Tide."]),
    "a link in a table": ("| a | b |\n|---|---|\n| [[x\\|the x]] | 2 |", ["a | b\nthe x | 2"]),
    "an embed": ("Before.\n\n![[map.png]]\n\n![[Tide#^9b526a|300]] After.", ["Before.", "After."]),
    "the id of a block": ("It rose. ^9b526a\n\n^low-water\n\nIt fell by x^2.", ["It rose.", "It fell by x^2."]),
    "a callout": ("> [!note]\n> Mind the tide.\n> It turns.", ["Mind the tide.\nIt turns."]),
    "a folded callout with a title": ("> [!tip]- Ropes\n> Coil them.\n>\n> - dry\n> - often", ["Ropes", "Coil them.", "- dry", "- often"]),
    "a quotation in a callout": ("> [!quote]\n> To sea.", ["> To sea."]),
    "a comment in the line": ("It rose %% ask Tam %% twice.", ["It rose twice."]),
    "a comment over paragraphs": ("One.\n\n%%\nask Tam\n\n```\nx\n```\n%%\n\nTwo.", ["One.", "Two."]),
    "a per cent": ("It was 100% and then 5%%.", ["It was 100% and then 5%%."]),
    "a query": ("```dataview\nLIST FROM #tide\n```\n\nA.", ["A."]),
    "tags alone, and a word with one": ("#tide #boats/ferry\n\nIssue #12 is open.", ["Issue #12 is open."]),
    "fields of an outliner": ("public:: true\n- It rose\n  id:: 65\n- collapsed:: true", ["- It rose"]),
    "a marked word": ("It was ==late== and a == b.", ["It was late and a == b."]),
}  # fmt: skip

BUILDERS = {
    "Jekyll's code": ("A\n\n{% highlight python linenos %}\n# wind\nx = 1\n{% endhighlight %}\n\nB", ["A", "```python\n# wind\nx = 1\n```", "B"]),
    "Octopress's code": ("{% codeblock lang:ruby a.rb %}\nx = 1\n{% endcodeblock %}", ["```ruby\nx = 1\n```"]),
    "Hugo's code": ('{{< highlight go "linenos=table" >}}\nfunc f() {}\n{{< /highlight >}}', ["```go\nfunc f() {}\n```"]),
    "code in a list": ("- one\n\n    {% highlight sh %}\n    ls\n    {% endhighlight %}", ["- one", "```sh\nls\n```"]),
    "an include in the text": ("One {% include x.html\n a=b %} two\n{% include ad.html %}\nthree", ["One two", "three"]),
    "raw": ("{% raw %}\nUse `{{ x }}`.\n{% endraw %}\n\n```\n{% raw %}{{ y }}{% endraw %}\n```", ["Use `{{ x }}`.", "```\n{{ y }}\n```"]),
    "a loop over posts": ("A\n\n{% for post in site.posts %}\n- [{{ post.title }}]({{ post.url }})\n{% endfor %}", ["A"]),
    "a figure": ('{{< figure src="a_b.png" caption="x" >}}\n\nA {{% notice %}}B{{% /notice %}}', ["A B"]),
    "quoted words": ("{% blockquote Kim %}\nTo sea.\n{% endblockquote %}", ["> To sea."]),
    "kramdown's attributes": ("{: .lead #a}\nA\n{:.note}\n\n* TOC\n{:toc}\n\n{::comment}\nno\n{:/comment}\n\nB {:ok, x}", ["A", "B {:ok, x}"]),
    "the id of a heading": ("### Low water {#low .x}\n\nA", ["## Low water", "A"]),
    "an abbreviation's meaning": ("The HTML.\n\n*[HTML]: Hyper Text", ["The HTML."]),
    "containers": ("::: {.callout-note}\n## T\nA\n:::\n\n:::tip\nB\n:::", ["## T", "A", "B"]),
    "an admonition of MkDocs": ('!!! note "Ropes"\n    Coil them.', ["Ropes", "Coil them."]),
    "a directive of MyST": ("```{note} Ropes\nCoil *them*.\n```\n\n```{toctree}\na\n```\n\nSee {ref}`the tide <t>`{cite}`k`.", ["Ropes", "Coil *them*.", "See the tide."]),
    "cells": ("```{python}\n#| echo: true\nx = 1\n```\n\n```{r, echo=FALSE}\ny\n```\n\n```{code-cell} python\n:tags: [a]\nz\n```", ["```python\nx = 1\n```", "```python\nz\n```"]),
    "a citation's key": ("As said [@knuth84, p. 3], so it is.", ["As said, so it is."]),
    "marks in code": ("Write `{{ x }}` or:\n\n    {% include y %}\n\n```\n{{< z >}} %% <!-- w -->\n```", ["Write `{{ x }}` or:", "```\n{% include y %}\n```", "```\n{{< z >}} %% <!-- w -->\n```"]),
}  # fmt: skip

HTML_INSIDE = {
    "a break": ("One<br>two", ["One\ntwo"]),
    "a comment": ("A <!-- ask\nTam --> b\n\n<!--more-->\n\nC", ["A b", "C"]),
    "a fold": ("<details>\n<summary>S</summary>\n\nIn *it*.\n\n</details>", ["S", "In *it*."]),
    "a paragraph in indented code": ("So:\n\n    <p>tick</p>", ["So:", "```\n<p>tick</p>\n```"]),
    "somebody's post": ('<blockquote class="twitter-tweet"><p>Hm.</p>&mdash; Kim</blockquote>\n<script src="w.js"></script>\n\nA', ["A"]),
    "a formula": ("It is <math><mi>O</mi><mo>(</mo><mi>n</mi><mo>)</mo></math>.", ["It is O(n)."]),
    "no tag": ("List<String> and a <b and c> d", ["List<String> and a <b and c> d"]),
}  # fmt: skip

FORMS = {
    "underlined headings": ("One\n===\n\nTwo\n---\n\nA", ["## One", "## Two", "A"]),
    "nested lists": ("* a\n    * b\n        * c\n* d\n\n  e\n\n  ```sh\n  ls\n  ```", ["- a", "  - b", "    - c", "- d", "  e", "```sh\nls\n```"]),
    "numbers": ("3. a\n4. b", ["3. a", "4. b"]),
    "boxes": ("- [ ] a\n- [x] b", ["- a", "- b"]),
    "a table": ("| k | v |\n|:--|--:|\n| `a|b` | **2** |", ["k | v\n`a | b`"]),
    "a quotation": ("> a\n> b\n>\n> c", ["> a\n> b\n> c"]),
    "a definition": ("Tide\n: What rises.", ["Tide", "What rises."]),
    "hard breaks": ("one  \ntwo\\\nthree", ["one\ntwo\nthree"]),
    "notes": ("A[^1], b[^n] ^[in the *line*].\n\n[^1]: First.\n\n    More.\n\n[^n]: https://x.example\n\nC", ["A, b.", "C", "in the *line*", "First.", "More."]),
    "formulae": ("It is $a_1 * b_2$ at $5 or $6.\n\n$$\nx_1\n$$", ["It is $a_1 * b_2$ at $5 or $6.", "$$\nx_1\n$$"]),
    "emphasis": ("**Now** *then* __so__ ***both*** a_b_c", ["Now *then* so *both* a_b_c"]),
    "a fence with words": ('```js {1,3} title="a.js"\nx\n```\n\n~~~\n```\n~~~', ["```js\nx\n```", "````\n```\n````"]),
}  # fmt: skip

CODE_OF_OTHERS = {
    "Zola's code": ('{% code(lang="sh") %}\n# wind\n{% end %}', ["```sh\n# wind\n```"]),
    "WordPress's code": ('[sourcecode language="python"]\n# wind\n[/sourcecode]', ["```python\n# wind\n```"]),
    "WordPress's code by language": ('[lua light="true"]\n# wind\n[/lua]', ["```lua\n# wind\n```"]),
    "a forum's code": ("[code]\n# wind\n[/code]", ["```\n# wind\n```"]),
    "Trac's and Vimwiki's code": ("{{{python\n# wind\n}}}", ["```python\n# wind\n```"]),
    "Org's code in Logseq": ("#+BEGIN_SRC sh\n# wind\n#+END_SRC", ["```sh\n# wind\n```"]),
    "Org's quotation and box": ("#+BEGIN_QUOTE\nA\n#+END_QUOTE\n\n#+BEGIN_NOTE\nB\n#+END_NOTE", ["> A", "B"]),
}
REMARKS = {
    "of Jinja": ("A {# private #} b", ["A b"]),
    "of Liquid": ("A\n\n{% # private %}\n\nB", ["A", "B"]),
    "no remark but a tag over lines": ("A\n\n{%\nassign x = 1\n%}\n\nB", ["A", "B"]),
    "of MDX": ("A\n\n{/* private\n\nnote */}\n\nB", ["A", "B"]),
    "of ERB": ("A <%# private %> b", ["A b"]),
    "in code": ("`{# x #}`\n\n    {/* y */}", ["`{# x #}`", "```\n{/* y */}\n```"]),
}
OLDER = {
    "a space in a named link": ("[the clock] [1] stopped, [x] [2]\n\n[1]: https://x.example", ["the clock stopped, [x] [2]"]),
    "Hexo's link with words": ("See {% post_link late-clock 'the clock' %} now", ["See the clock now"]),
    "readings over words": ("<ruby>潮<rp>(</rp><rt>しお</rt><rp>)</rp></ruby>が満ちた", ["潮が満ちた"]),
}  # fmt: skip

KINDS = LINKS | VAULT | CODE_OF_OTHERS | REMARKS | OLDER | BUILDERS | HTML_INSIDE | FORMS


@pytest.mark.parametrize("kind", KINDS)
def test_markdown_is_read_as_it_is_shown(kind: str) -> None:
    body, blocks = KINDS[kind]
    assert markdown_blocks(body) == blocks
    assert markdown_blocks(body.replace("\n", "\r\n")) == blocks


def test_a_text_wrapped_by_an_editor_is_unwrapped_and_a_poem_is_not() -> None:
    told = "the tide came in over the flats and nobody had moved the boats so we stood and watched them float off"
    words = told.split()
    lines, line = [], ""
    for word in words * 12:
        if len(line) + 1 + len(word) > 72:
            lines, line = [*lines, line], word
        else:
            line = f"{line} {word}".strip()
    assert markdown_blocks("\n".join(lines)) == [" ".join(lines)]
    sentences = ["I stood on the quay while the tide came in over the", "flats.", "Nobody said a word."] * 13
    assert markdown_blocks("\n".join(sentences))[0].startswith(
        f"{sentences[0]} flats.\nNobody said a word.\nI stood"
    )
    few = (
        "It was the third time that week that we had to ask the\nharbour office, which has only one window and\n"
        "opens when the tide turns, for the tables, and so we\nwent there by boat in the rain; and the printer that\n"
        "Holm gave us stood on the quay where every number was\nwritten by hand, as if it were 1950,\nby\n"
        "`tides` and the man who had run the office before we\nLeft for the islands. He said:\nNo tables."
    )
    assert markdown_blocks(few) == [few.replace("\n", " ").replace("said: No", "said:\nNo")]
    names = few + "\n\nAnna\nHolm\nand the sea"
    assert markdown_blocks(names)[1] == "Anna\nHolm\nand the sea"
    poem = "The sea is calm.\nThe tide is full,\nand on the straits\na light\ngleams and is gone."
    assert markdown_blocks(poem) == [poem]


def test_wrapped_japanese_is_joined_without_spaces() -> None:
    line = "潮が満ちてきて誰も船を動かしていなかったので私たちは立ったまま船が流れていくのを見ていたのだと思う。それだけだ"
    assert markdown_blocks("\n".join([line] * 15)) == [line * 15]


def test_front_matter_left_in_a_body_is_no_writing_and_a_rule_is() -> None:
    assert markdown_blocks("---\ntitle: X\ntags:\n  - a\n---\n\nA") == ["A"]
    assert markdown_blocks("---\n\nNote: this stays.\n\n---\n\nA") == ["Note: this stays.", "A"]


def test_lists_are_tight_and_paragraphs_apart() -> None:
    assert (
        join_blocks(markdown_blocks("A\n\n- b\n\n- c\n\n1. d\n2. e\n\nF")) == "A\n\n- b\n- c\n1. d\n2. e\n\nF"
    )


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab {}%<>[]()!`~#*_^$:|\\\n\t-=&;@.1/\"'", max_size=120))
def test_no_text_whatever_breaks_the_reader(text: str) -> None:
    assert all(block.strip() for block in markdown_blocks(text))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "part",
    [
        "{% highlight x %}",
        "<script>",
        "{{< code >}}",
        "<!-- ",
        "%%\n",
        "```\n",
        "`",
        "[[",
        "![[a",
        "- a: b\n",
        "{{",
        "<math>",
        "[@a ",
        "> ",
        "{% code() %}",
        "[code]\n",
        "{{{\n",
        "#+begin_src\n",
        "{# ",
        "{/* ",
        "<rt>",
        "] [a",
        "[a]:\n",
        "{% post_link a 'b",
    ],
)
def test_a_text_of_openings_alone_ends_in_time(part: str) -> None:
    markdown_blocks("---\na: b\n" + part * (20_000 // len(part)))
