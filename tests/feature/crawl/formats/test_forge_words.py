"""Issues and comments without what forms, mail clients and reviewers' buttons put into them."""

import pytest

from twin_assets.feature.crawl.formats.forge_words import own_words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<!-- read this first -->\nThe clock is late.", "The clock is late."),
        ("**Describe the bug**\nA clear and concise description of what the bug is.\n\nLate.", "Late."),
        ("### Expected behavior\n\nOn time.\n\n### Actual behavior\n\nLate.\n", "On time.\n\nLate."),
        ("### Version\n\n_No response_\n\n### What happened?\n\nIt stopped.", "It stopped."),
        ("Late.\n\n- [x] I have searched the issues\n- [ ] I will send a patch\n", "Late."),
        ("## The night of the flood\n\nNobody slept.", "## The night of the flood\n\nNobody slept."),
        (
            "Late.\n\n**Desktop (please complete the following information):**\n - OS: [e.g. iOS]\n - Browser [e.g. chrome]\n",
            "Late.",
        ),
        ("## Empty\n\n## Full\n\nText.\n\n## Last\n", "## Full\n\nText."),
        ("# Notes\n\n## Deep\n\nText.", "# Notes\n\n## Deep\n\nText."),
        ("Call it gap.\n\n```suggestion\ngap = 1\n```\n", "Call it gap."),
        (
            "See:\n\n```sh\n# one\n# two\n- [ ] three\n```\nDone.",
            "See:\n\n```sh\n# one\n# two\n- [ ] three\n```\nDone.",
        ),
        ("Yes.\n\nOn Mon, 2 Mar 2020, Kim wrote:\n> Is it late?\n", "Yes."),
        ('Yes.\n\n2 March 2020 10:11, "Kim" <kim@x.example> wrote:\n> Is it late?\n', "Yes."),
        ("> Is it late?\n\nYes.\n\n> How late?\n\nVery.", "> Is it late?\n\nYes.\n\n> How late?\n\nVery."),
        ("<!-- only a form -->\n- [ ] done\n", ""),
        ("A line.  \nAnother.", "A line.  \nAnother."),
    ],
)
def test_own_words_are_what_is_left(body: str, words: str) -> None:
    assert own_words(body) == words
