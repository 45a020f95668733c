"""The night of 14 November 2021, among other mornings."""

import contextlib
import io
import tempfile
import unittest
from datetime import date, datetime, timezone
from pathlib import Path

from tidelog import store
from tidelog.checks import check_all
from tidelog.cli import ALTERED, FINE, GAPPY, STALE, UNREADABLE, main
from tidelog.parse import parse_text

WANTED = date(2021, 11, 15)
NOW = datetime(2021, 11, 15, 2, 40, tzinfo=timezone.utc)
GOOD = """\
TABLE 2021-11-15
ISSUED 2021-11-14T21:02Z
HARBOUR STN Stenna
LW 01:50 1.02
HW 08:04 3.10
LW 14:21 1.08
HW 20:30 3.22
END 1
"""
YESTERDAYS = GOOD.replace("2021-11-15", "2021-11-14").replace("11-14T21:02Z", "11-13T21:01Z")


def kinds(text):
    return [p.kind for p in check_all(parse_text(text), WANTED, NOW, harbours=1)]


class Checks(unittest.TestCase):
    def test_a_good_table_has_nothing_said_about_it(self):
        self.assertEqual(kinds(GOOD), [])

    def test_yesterdays_table_is_refused_twice_over(self):
        # Wrong day, and 29 hours old. Either would've done.
        self.assertEqual(kinds(YESTERDAYS), ["stale", "stale"])

    def test_a_table_from_the_future_means_a_clock_is_wrong(self):
        self.assertEqual(kinds(GOOD.replace("11-14T21:02Z", "11-15T23:40Z")), ["stale"])

    def test_a_missing_tide_leaves_a_hole(self):
        self.assertIn("gappy", kinds(GOOD.replace("HW 08:04 3.10\n", "")))

    def test_high_water_is_higher(self):
        self.assertIn("gappy", kinds(GOOD.replace("HW 08:04 3.10", "HW 08:04 0.31")))

    def test_counts_the_harbours(self):
        found = check_all(parse_text(GOOD), WANTED, NOW)
        self.assertEqual(str(found[0]), "gappy: table: wanted 43 harbours, got 1")


class CommandLine(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def keep(self, text):
        (self.folder / "in.txt").write_text(text, encoding="utf-8")
        return self.run_it("keep", str(self.folder / "in.txt"), "--for", "2021-11-15", "--harbours", "1",
                           "--now", "2021-11-15T02:40Z", "--into", str(self.folder), "--who", "runa")

    def run_it(self, *words):
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return main(list(words))

    def test_each_answer_has_its_own_number_and_all_of_them_are_logged(self):
        codes = [self.keep(t) for t in (GOOD, YESTERDAYS, GOOD.replace("LW 14:21 1.08\n", ""), "soup")]
        self.assertEqual(codes, [FINE, STALE, GAPPY, UNREADABLE])
        self.assertEqual([e["did"] == "refused it" for e in store.read_log(self.folder)],
                         [False, True, True, True])
        self.assertEqual(len(list((self.folder / "tables").iterdir())), 1)

    def test_rubbing_out_shows(self):
        for text in (GOOD, YESTERDAYS):
            self.keep(text)
        self.assertEqual(self.run_it("verify", str(self.folder)), FINE)
        log = self.folder / store.LOG_NAME
        log.write_text(log.read_text(encoding="utf-8").replace("refused it", "kept it"), encoding="utf-8")
        self.assertEqual(store.first_bad_line(self.folder), 2)
        self.assertEqual(self.run_it("verify", str(self.folder)), ALTERED)
