"""What is read from elsewhere is read off the way of whoever asks."""

import threading

import pytest

from tests.support.machine import PATIENCE, until
from twin_assets.core import renewed
from twin_assets.core.renewed import NotYetRead, Renewed


class Source:
    """Counts its reads, which fail or hang as they are told."""

    def __init__(self) -> None:
        self.reads, self.fails = 0, False
        self.goes = threading.Event()
        self.goes.set()

    def read(self) -> float:
        self.reads += 1
        assert self.goes.wait(PATIENCE)
        if self.fails:
            raise LookupError(f"read {self.reads}")
        return 0.0


def test_many_who_ask_at_once_have_it_read_once_until_it_is_due() -> None:
    source = Source()
    source.goes.clear()
    news = Renewed(source.read, fresh=PATIENCE, wait=PATIENCE)
    asking = [threading.Thread(target=news.renew) for _ in range(20)]
    for thread in asking:
        thread.start()
    source.goes.set()
    for thread in asking:
        thread.join()
    assert source.reads == 1
    news.renew()
    assert source.reads == 1
    news.forget()
    news.renew()
    assert source.reads == 2


def test_before_it_was_ever_read_the_error_is_told_and_after_that_what_is_known_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewed, "AGAIN_SECONDS", 0.01)
    source = Source()
    source.fails = True
    news = Renewed(source.read, fresh=0.0, wait=PATIENCE)
    with pytest.raises(LookupError, match="read 1"):
        news.renew()
    source.fails = False
    until(lambda: renews(news))
    source.fails = True
    until(lambda: (news.renew(), news.error)[1])
    source.goes.clear()  # it hangs now: nobody waits for it
    asked = source.reads
    until(lambda: (news.renew(), source.reads > asked)[1])
    for _ in range(100):
        news.renew()
    assert source.reads == asked + 1, "one at a time"
    source.fails = False
    source.goes.set()
    until(lambda: (news.renew(), news.error is None)[1])


def renews(news: Renewed, refused: type[Exception] = LookupError) -> bool:
    try:
        news.renew()
    except refused:
        return False
    return True


def test_who_asks_while_it_hangs_waits_only_for_its_first_moments() -> None:
    source = Source()
    news = Renewed(source.read, fresh=0.0, wait=0.05)
    news.renew()
    source.goes.clear()
    for _ in range(100):  # each would wait for ever, or 0.05 s each, else
        news.renew()
    assert source.reads == 2
    assert news.error is None
    assert news.running_seconds > 0
    source.goes.set()


def test_who_asks_while_the_first_read_hangs_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewed, "FIRST_SECONDS", 0.05)
    source = Source()
    source.goes.clear()
    news = Renewed(source.read, fresh=0.0, wait=PATIENCE)
    for _ in range(3):
        with pytest.raises(NotYetRead, match="no answer for"):
            news.renew()
    source.goes.set()
    until(lambda: renews(news, NotYetRead))
    assert source.reads < 10
