"""A report as one HTML page: without scripts or outside assets, narrow enough for a phone."""

import base64
import html
from collections.abc import Sequence

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:66rem;margin:1.5rem auto;padding:0 1rem;color:#1c2430;
overflow-wrap:anywhere}
h1{font-size:1.4rem;margin-bottom:0}h2{font-size:1.15rem;margin-top:2.2rem}h3{font-size:1rem}
.verdict{padding:.8rem 1rem;border-radius:.5rem;margin-top:1rem}.verdict ul{list-style:none;padding:0;margin:.5rem 0 0}
.verdict li{padding-left:1.5em;text-indent:-1.5em;margin:.3rem 0}
.yes{background:#e3f4e8}.no{background:#fbe6e4}.warn{background:#fdf3d7;padding:.8rem 1rem;border-radius:.5rem}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.94rem;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.35rem .4rem;border-bottom:1px solid #d8dee6;overflow-wrap:normal}
td{white-space:nowrap}th{vertical-align:bottom}
th:first-child,td:first-child{text-align:left;white-space:normal;min-width:8rem}.mine td{font-weight:600}
img{width:100%;max-width:46rem;height:auto}img.narrow-plot{max-width:32rem}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(17rem,1fr));gap:0 1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem;margin:1rem 0}
.tiles div{border:1px solid #d8dee6;border-radius:.5rem;padding:.5rem .8rem}.tiles strong{display:block;font-size:1.15rem}
blockquote{margin:.2rem 0 1rem;padding:.6rem 1rem;background:#f4f6f8;white-space:pre-wrap;border-radius:.3rem}
.muted{color:#5b6675;font-size:.9rem}.wide table{margin-bottom:.6rem}details{margin:.2rem 0 1rem}
.out{background:#fbe6e4}.in{background:#e3f4e8}
"""


def page(title: str, about: str, parts: Sequence[str]) -> str:
    """The whole page; `title` and `about` are text, `parts` HTML."""
    return "".join([
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1><p class=muted>{html.escape(about)}</p>",
        *parts,
        "</body></html>",
    ])  # fmt: skip


def image(png: bytes, about: str, style: str = "wide") -> str:
    """A plot; `style` is `wide`, or `narrow` for one that is made for a phone."""
    return f"<p><img class={style}-plot alt='{html.escape(about)}' src='data:image/png;base64,{base64.b64encode(png).decode()}'></p>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, which scrolls by itself where it is too wide."""
    cells = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return f"<div class=wide><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"


def bullets(texts: Sequence[str]) -> str:
    """A list of texts."""
    return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in texts)}</ul>"
