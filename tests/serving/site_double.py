"""A web site on loopback with articles, a paper, and everything that a link can go wrong with."""

import gzip
import time
import zlib
from dataclasses import replace

from demo.sites.answers import CHALLENGE, Answer
from demo.sites.loopback import Loopback

ARTICLE = """<!DOCTYPE html><html><head><title>Gauges of the north</title><meta name="author" content="Ada Pier">
<meta property="article:published_time" content="2024-05-06T07:00:00Z"></head><body>
<nav><a href="/">Home</a> <a href="/about">About</a></nav><article><h1>Gauges of the north</h1>
<p>The gauge at Kvitnes was moved by eleven metres in 1931, and nobody wrote it down until the surveyors came back.</p>
<p>Every table printed before that year is therefore wrong by the same amount, which two pilots knew by heart.</p>
</article><div class="newsletter">Subscribe now for free</div><script>track()</script></body></html>"""


def pdf(*lines: str) -> bytes:
    """A PDF of one page with these lines, written by hand: no library here can make one."""
    shown = " T* ".join(f"({line}) Tj" for line in lines)
    stream = f"BT /F1 12 Tf 14 TL 40 760 Td {shown} ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]  # fmt: skip
    out, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % at for at in places)
    out += b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        len(objects) + 1, table, len(objects) + 1, len(out),
    )  # fmt: skip
    return out


PAPER = pdf(
    "On the drift of float gauges.",
    "We measured eleven gauges for two winters and found that ice lifts the float by nine millimetres.",
    "The lift is gone in April, so that tables made in spring hide it from everybody who reads them.",
)


class SiteDouble(Loopback):
    """`to` is where /redirect leads; `asked` has the targets of all requests."""

    to = "/article"
    attack = ""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.asked: list[str] = []

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        self.asked.append(target)
        path = target.partition("?")[0]
        if path == "/article":
            return Answer.html(ARTICLE)
        if path == "/attack":
            return Answer.html(f"<html><body><article>{self.attack}</article></body></html>")
        if path == "/paper.pdf":
            return Answer(200, {"Content-Type": "application/pdf"}, PAPER)
        if path == "/notes.md":
            return Answer(
                200, {"Content-Type": "text/markdown"}, ("# Notes\n\n" + "The tide was late. " * 30).encode()
            )
        if path == "/redirect":
            return Answer(302, {"Location": self.to})
        if path == "/circle":
            return Answer(302, {"Location": "/circle"})
        if path == "/image":
            return Answer(200, {"Content-Type": "image/png"}, b"\x89PNG")
        if path == "/large":
            return Answer(200, {"Content-Type": "text/html"}, b"<p>x</p>" * 1_400_000)
        if path == "/packed":
            return replace(Answer.html(""), headers={"Content-Type": "text/html", "Content-Encoding": "gzip"}, body=gzip.compress(b"a" * 100))  # fmt: skip
        if path == "/blocked":
            return Answer.html(CHALLENGE)
        if path == "/empty":
            return Answer.html("<html><body><div id=app></div></body></html>")
        if path == "/broken.pdf":
            return Answer(200, {"Content-Type": "application/pdf"}, b"%PDF-1.4\n" + zlib.compress(b"nothing"))
        if path == "/slow":
            time.sleep(1)
        return Answer.text("no such page", 404)
