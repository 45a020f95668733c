"""Code, formulae and footnotes of pages as highlighters, typesetters and converters write them."""

import pytest

from tests.core.text.test_page_bodies import A, B, page
from twin_assets.core.text.html.blocks import html_blocks

ONE, TWO = "a = 1", "b = 2"
NUMBERED_CELLS = "<table><tr><td><pre>1\n2</pre></td><td><pre>a = 1\nb = 2</pre></td></tr></table>"
CODE = [
    ("breaks inside pre", "", "<pre>a = 1<br>b = 2</pre>"),
    ("breaks in spans", "", "<pre><span>a = 1<br>b = 2<br></span></pre>"),
    ("a column of numbers", "", NUMBERED_CELLS),
    ("elements that are shown as lines", "", '<pre><span style="display:block">a = 1</span><span style="display:block">b = 2</span></pre>'),
    ("such elements with breaks between", "", '<pre><span style="display:block">a = 1</span>\n<span style="display:block">b = 2</span></pre>'),
    ("xmp", "", "<xmp>a = 1\nb = 2</xmp>"),
    ("listing", "", "<listing>a = 1\nb = 2</listing>"),
    (
        "Rouge", "python",
        '<div class="language-python highlighter-rouge"><div class="highlight"><table class="rouge-table"><tbody><tr>'
        '<td class="rouge-gutter gl"><pre class="lineno">1\n2\n</pre></td><td class="rouge-code"><pre><span class="n">a</span>'
        " = 1\nb = 2\n</pre></td></tr></tbody></table></div></div>",
    ),
    (
        "Hexo", "python",
        '<figure class="highlight python"><table><tr><td class="gutter"><pre><span class="line">1</span><br>'
        '<span class="line">2</span><br></pre></td><td class="code"><pre><span class="line">a = 1</span><br>'
        '<span class="line">b = 2</span><br></pre></td></tr></table></figure>',
    ),
    (
        "Chroma", "go",
        '<div class="highlight"><div class="chroma"><table class="lntable"><tr><td class="lntd"><pre><code>'
        '<span class="lnt">1\n</span><span class="lnt">2\n</span></code></pre></td><td class="lntd"><pre>'
        '<code class="language-go" data-lang="go"><span class="line">a = 1\n</span><span class="line">b = 2\n</span></code>'
        "</pre></td></tr></table></div></div>",
    ),
    ("Chroma, numbers in line", "", '<pre><span class="ln">1</span>a = 1\n<span class="ln">2</span>b = 2\n</pre>'),
    ("Pygments, numbers in line", "", '<pre><span class="linenos">1</span>a = 1\n<span class="linenos">2</span>b = 2\n</pre>'),
    ("Sphinx", "python3", '<div class="highlight-python3"><div class="highlight"><pre><span></span>a = 1\nb = 2\n</pre></div></div>'),
    ("Org", "python", '<pre class="src src-python">a = 1\nb = 2\n</pre>'),
    ("pandoc", "python", '<div class="sourceCode"><pre class="sourceCode python"><code class="sourceCode python">a = 1\nb = 2</code></pre></div>'),
    (
        "a gist", "",
        '<div class="gist"><table class="highlight"><tr><td class="blob-num" data-line-number="1"></td>'
        '<td class="blob-code">a = 1</td></tr><tr><td class="blob-num" data-line-number="2"></td>'
        '<td class="blob-code">b = 2</td></tr></table></div>',
    ),
    (
        "highlight.js with numbers", "js",
        '<pre><code class="hljs language-js"><table class="hljs-ln"><tr><td class="hljs-ln-numbers" data-line-number="1"></td>'
        '<td class="hljs-ln-code">a = 1</td></tr><tr><td class="hljs-ln-numbers" data-line-number="2"></td>'
        '<td class="hljs-ln-code">b = 2</td></tr></table></code></pre>',
    ),
    (
        "Docusaurus", "jsx",
        '<div class="language-jsx codeBlock"><pre class="prism-code language-jsx"><code><div class="token-line"><span>a = 1</span>'
        '<br></div><div class="token-line"><span>b = 2</span><br></div></code></pre><button>Copy</button></div>',
    ),
    (
        "SyntaxHighlighter", "",
        '<div class="syntaxhighlighter"><table><tr><td class="gutter"><div class="line number1">1</div>'
        '<div class="line number2">2</div></td><td class="code"><div class="container"><div class="line number1">'
        '<code class="plain">a = 1</code></div><div class="line number2"><code class="plain">b = 2</code></div></div></td></tr></table></div>',
    ),
    ("prettify", "", '<pre class="prettyprint linenums"><ol class="linenums"><li class="L0">a = 1</li><li class="L1">b = 2</li></ol></pre>'),
    ("a column of numbers in an element", "", '<div class="code"><div class="line-numbers">1<br>2</div><pre>a = 1\nb = 2</pre></div>'),
    ("WordPress", "", '<pre class="wp-block-code"><code>a = 1\nb&nbsp;= 2</code></pre>'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "language", "code"), CODE)
def test_code_keeps_its_lines_and_loses_their_numbers(kind: str, language: str, code: str) -> None:
    wanted = [A, f"```{language}\n{ONE}\n{TWO}\n```", B]
    body = f"<p>{A}</p>{code}<p>{B}</p>"
    assert html_blocks(body) == wanted, kind
    assert html_blocks(page(f"<article>{body}</article>")) == wanted, kind


def test_code_that_shows_a_fence_gets_a_longer_one() -> None:
    assert html_blocks("<pre>```\nx\n```</pre>") == ["````\n```\nx\n```\n````"]


def test_code_keeps_tags_and_indents_as_written() -> None:
    assert html_blocks("<pre><code>  &lt;p&gt;tick&lt;/p&gt;\n\tdone</code></pre>") == [
        "```\n  <p>tick</p>\n\tdone\n```"
    ]


def test_what_a_forge_writes_below_an_embedded_file_is_no_text() -> None:
    code = '<table><tr><td class="blob-num" data-line-number="1"></td><td class="blob-code">a = 1</td></tr></table>'
    gist = f'<div class="gist">{code}<div class="gist-meta"><a href="/r">view raw</a> hosted by GitHub</div></div>'
    assert html_blocks(f"<p>{A}</p>{gist}<p>{B}</p>") == [A, "```\na = 1\n```", B]


def test_verse_is_no_code() -> None:
    assert html_blocks('<pre class="wp-block-verse">The tide\n  and I</pre>') == ["The tide\n  and I"]


def test_a_table_of_numbers_is_a_table() -> None:
    source = "<table><tr><td>1</td><td>gull</td></tr><tr><td>2</td><td>tern</td></tr></table>"
    assert html_blocks(source) == ["1 | gull\n2 | tern"]


def test_a_table_that_lays_out_a_page_gives_paragraphs() -> None:
    source = f"<table><tr><td><font>{A}<br><br>{B}</font></td></tr></table>"
    assert html_blocks(source) == [A, B]
    assert html_blocks(page(f"<table><tr><td>{source}</td></tr></table>")) == [A, B]


TEX = "E = mc^2"
MATHML = f'<math><semantics><mrow><mi>E</mi><mo>=</mo></mrow><annotation encoding="application/x-tex">{TEX}</annotation></semantics></math>'
WRAPPED = MATHML.replace(TEX, "{\\displaystyle " + TEX + "}")
FORMULAE = [
    ("KaTeX", f'<span class="katex"><span class="katex-mathml">{MATHML}</span><span class="katex-html" aria-hidden="true"><span>E=mc2</span></span></span>'),
    ("MathJax 2", f'<span class="MathJax_Preview">E=mc</span><span class="MathJax" id="MathJax-Element-1-Frame"><nobr>E=mc2</nobr></span><script type="math/tex" id="MathJax-Element-1">{TEX}</script>'),
    ("MathJax 3", f'<mjx-container><mjx-math aria-hidden="true"></mjx-math><mjx-assistive-mml>{MATHML}</mjx-assistive-mml></mjx-container>'),
    ("MathML", MATHML),
    ("MathML with its source as a text", f'<math alttext="{TEX}"><mi>E</mi></math>'),
    ("Wikipedia", f'<span class="mwe-math-element"><span style="display: none;">{WRAPPED}</span><img src="/x.svg" alt="E"></span>'),
    ("WordPress", f'<img src="/latex.php" alt="{TEX}" class="latex">'),
    ("raw", f"${TEX}$"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "formula"), FORMULAE)
def test_a_formula_is_its_tex_once(kind: str, formula: str) -> None:
    body = f"<p>{A}</p><p>We know that {formula} holds.</p><p>{B}</p>"
    wanted = [A, f"We know that ${TEX}$ holds.", B]
    assert html_blocks(body) == wanted, kind
    assert html_blocks(page(f"<article>{body}</article>")) == wanted, kind


def test_a_formula_on_a_line_of_its_own_is_told() -> None:
    substack = '<div class="latex-rendered" data-attrs="{&quot;persistentExpression&quot;:&quot;E = mc^2&quot;}"></div>'
    katex = f'<p><span class="katex-display"><span class="katex"><span class="katex-mathml">{MATHML}</span></span></span></p>'
    for display in (substack, katex, MATHML.replace("<math>", '<math display="block">')):
        assert html_blocks(f"<p>{A}</p>{display}<p>{B}</p>") == [A, f"$${TEX}$$", B]


NOTES = [
    '<sup id="fnref:1"><a href="#fn:1" class="footnote-ref" role="doc-noteref">1</a></sup>',
    '<a class="footnote-anchor" id="footnote-anchor-1" href="#footnote-1">1</a>',
    '<sup class="reference"><a href="#cite_note-1">[1]</a></sup>',
    '<sup><a href="#1">1</a></sup>',
    '<a href="#_ftn1">[1]</a>',
]


@pytest.mark.parametrize("mark", NOTES)
def test_the_mark_of_a_footnote_is_out_and_the_note_stays(mark: str) -> None:
    note = 'My note on it is this. <a href="#fnref:1" class="footnote-backref" role="doc-backlink">↩︎</a>'
    body = f'<p>{A}</p><p>It was late{mark}, as ever.</p><p>{B}</p><ol><li id="fn:1"><p>{note}</p></li></ol>'
    wanted = [A, "It was late, as ever.", B, "- My note on it is this."]
    assert html_blocks(body) == wanted
    assert html_blocks(page(f"<article>{body}</article>")) == wanted


def test_a_heading_s_link_to_itself_is_out() -> None:
    body = f'<p>{A}</p><h2 id="t">Tides<a class="headerlink" href="#t">¶</a></h2><p>{B}</p><h2><a href="#u" class="anchor">#</a> Moons</h2><p>{A}</p>'
    assert html_blocks(body) == [A, "## Tides", B, "## Moons", A]
