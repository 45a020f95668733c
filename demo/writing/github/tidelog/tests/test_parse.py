"""What we'll read, and what we'll hand back."""

import unittest
from datetime import date, time

from tidelog.parse import UnreadableTable, parse_text

GOOD = """\
# from the Tide Office
TABLE 2022-02-02
ISSUED 2022-02-01T21:04Z
HARBOUR STN Stenna
HW 00:41 3.42
LW 06:58 0.91
HW 13:03 3.55
LW 19:21 -0.12
HARBOUR HAO Hamar (Old Pier)
HW 00:44 3.40
LW 07:01 0.90
HW 13:06 3.51
LW 19:24 0.84
END 2
"""


class Parse(unittest.TestCase):
    def refuses(self, text, because):
        with self.assertRaises(UnreadableTable) as caught:
            parse_text(text)
        self.assertIn(because, str(caught.exception))

    def test_reads_a_good_one(self):
        table = parse_text(GOOD)
        self.assertEqual(table.valid_for, date(2022, 2, 2))
        self.assertEqual([h.code for h in table.harbours], ["STN", "HAO"])
        self.assertEqual(table.harbours[1].name, "Hamar (Old Pier)")
        self.assertEqual(table.harbours[0].tides[3].at, time(19, 21))
        self.assertEqual(table.harbours[0].tides[3].height_m, -0.12)

    def test_half_a_file_isnt_a_short_file(self):
        self.refuses(GOOD[:GOOD.index("END")], "no END line")
        self.refuses(GOOD.replace("END 2", "END 43"), "I counted 2")
        self.assertEqual(len(parse_text(GOOD.replace("END 2", "END 2  ")).harbours), 2)  # spaces aren't news

    def test_two_files_stuck_together(self):
        self.refuses(GOOD + GOOD, "more after END")

    def test_time_must_say_which_clock(self):
        self.refuses(GOOD.replace("21:04Z", "21:04"), "UTC")

    def test_says_which_line(self):
        self.refuses(GOOD.replace("LW 06:58 0.91", "LW 06:58 shallow"), "line 6")

    def test_a_harbour_only_gets_one_go(self):
        self.refuses(GOOD.replace("HAO", "STN"), "twice")
