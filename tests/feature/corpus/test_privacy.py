"""Secrets never survive cleaning, personal data goes unless the persona keeps it, and prose is left alone."""

import os
import string
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.machine import growth
from twin_assets.core.hashing import text_hash
from twin_assets.core.records import CleanedDocument, Document
from twin_assets.core.row_file import RowFile
from twin_assets.core.text.privacy import ALL_KINDS, SECRET_KINDS, mask, scan
from twin_assets.defs.corpus.assets import no_secrets
from twin_assets.feature.corpus.cleaning.clean import clean_document, clean_documents, leaks
from twin_assets.settings import ROOT

CORPORA = Path(os.environ.get("TWIN_TEST_CORPORA", ROOT.parent / "shared" / "corpora"))

# Put together at run time, so that no scanner takes this file for a leak.
MIXED = "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xYzAbC"
PEM = "-----" + "BEGIN RSA PRIVATE KEY" + "-----\n" + "\n".join([MIXED + MIXED[:28]] * 4)
TRUE_POSITIVES = {
    "private_key": [PEM + "\n-----" + "END RSA PRIVATE KEY" + "-----", PEM],
    "aws_key": ["AKIA" + "QZ7RT4WK2MNB8VXC"],
    "google_key": ["AI" + "za" + MIXED[:35]],
    "github_token": ["ghp" + "_" + MIXED, "github" + "_pat_" + MIXED + "_" + MIXED],
    "gitlab_token": ["gl" + "pat-" + MIXED[:20]],
    "slack_token": ["xo" + "xb-123456789012-" + MIXED[:24]],
    "stripe_key": ["sk" + "_live_" + MIXED[:24]],
    "openai_key": ["sk" + "-proj-" + MIXED + "_" + MIXED, "sk" + "-" + MIXED],
    "hf_token": ["hf" + "_" + MIXED[:34]],
    "jwt": ["ey" + "J" + MIXED[:20] + ".ey" + "J" + MIXED + "." + MIXED],
    "assigned_secret": [
        "pass" + "word=Tr0ub4dor&3xy",
        "DB_PASS" + "WORD: 'q8Zr+2Lw9vXe'",
        '"api' + '_key": "' + MIXED[:24] + '"',
        "Authorization: Bear" + "er " + MIXED,
        "aws_secret_access" + "_key = wJalrX+tnF3MI/K7MDENG9bPxRfiCY" + "q2Zd4Kf0aA",
    ],
    "url_password": ["postgres://runa:" + "s3aw33d@db.harbour.net:5432/tides"],
    "email": ["runa@hollisferries.net", "first.last+list@mail.uni-köln.de"],
    "phone": [
        "+44 20 7946 0958",
        "(415) 357-4000",
        "415-357-4000",
        "+49 171 2345678",
        "phone: 020 7946 0958",
        "Tel. 089/1234567",
        "06 12 34 56 78",
        "+14155552671",
    ],
    "iban": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "OM810180000001299123456"],
    "card": ["4111 1111 1111 1111", "5500005555555559", "3782 822463 10005"],
    "ip": ["163.172.161.7", "2a09:8280:1::1:2741"],
}
TRAPS = [
    "Version 1.2.3.4 came after 10.4.0.1 and v3.141.59.26; Chrome/111.0.0.0 and ==4.31.5.100 too.",
    "On 2023-01-15 at 10:30:45, or 15.01.2023, 2023/01/15 and 20230115123456.",
    "ISBN 978-0-306-40615-7, ISBN-10 0-306-40615-2, ISBN 9783161484100.",
    "commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad fixes it",
    "id 123e4567-e89b-12d3-a456-426614174000",
    '"integrity": "sha512-' + MIXED * 2 + '=="',
    "--hash=sha256:" + "0a1b2c3d4e5f6789" * 4,
    "js-tokens@^4.0.0:\n  version 4.0.0\n  resolved https://registry.example.org/js-tokens-4.0.0.tgz#19203fb59991df98",
    "tokenizer: bert-base-uncased-2018, max_tokens=4096, token_count: 12345678, next token: 50256",
    "password = getpass.getpass(), token = os.environ['API_TOKEN_V2'], secret: ${VAULT_SECRET_1}, token=settings.TOKEN_2",
    "password: your-password-123, api_key=<API_KEY_12345>, PASSWORD=changeme123, token: xxxxxxxxxxxx1",
    "Set the token, then the secret: it's 12 letters and 3 digits long. The password? hunter2.",
    "postgres://user:password@localhost/db and https://example.com/@handle and postgres://u:${PW}@host/db",
    "git clone git@github.com:runa/tides.git; write to someone@example.com or root@localhost",
    "@runa@mastodon.social, logo@2x.png, actions/checkout@v4, lodash@4.17.21, 41898282+bot@users.noreply.github.com",
    "127.0.0.1, 10.0.0.12, 192.168.1.200, 172.16.31.9, 8.8.8.8, 34.64.0.0/10, 203.0.113.9, 2001:db8::1, ::1",
    "sections 3.2.1.4 and 2.1.1.3, the MAC 00:1b:44:11:3a:b7, std::vector<int>, 12:30:45",
    "numbers 300 400 5000, 1 234 567 890, 1,234,567.89, 3.14159265358979, 1e10, 0x1234567890, 2020-2023, 1914-1918",
    "0123 4567 89ab cdef 0000 1111 2222; 01 02 03 04 05 06 07 08",
    "tweets /status/1234567890123456789, 4111111111111112, order 4539578763621487, 1609459200000",
    "sk-folding-cube-wrapper-element-animation and hf_hub_download_with_resume_from_cache and eyJ",
    "-----" + "BEGIN PRIVATE KEY" + "-----\n...\n-----" + "END PRIVATE KEY" + "-----",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "Please call 911 or 112; text 85258; call me on Monday 12 May 2024.",
    "DE is a country, GB29 a number, FR76 1234 no account; UB40 is a band.",
]


@pytest.mark.parametrize(("kind", "text"), [(k, t) for k, texts in TRUE_POSITIVES.items() for t in texts])
def test_what_is_private_is_found_and_masked(kind: str, text: str) -> None:
    around = f"Before it, a line.\n{text}\nAfter it, one more."
    found = scan(around)
    assert [f.kind for f in found] == [kind]
    (finding,) = found
    secret = around[finding.start : finding.end]
    assert len(secret) >= 6
    assert secret in text
    assert secret not in finding.preview
    masked, counts = mask(around)
    assert secret not in masked
    assert counts == Counter({kind: 1})
    assert masked.startswith("Before it, a line.\n")
    assert masked.endswith("\nAfter it, one more.")


@pytest.mark.parametrize("after", [" SEE YOU THERE", " EUR 40", " 2024", ""])
def test_an_account_number_ends_where_its_country_says(after: str) -> None:
    text = f"Pay to DE89 3704 0044 0532 0130 00{after}"
    assert mask(text) == (f"Pay to [IBAN]{after}", Counter({"iban": 1}))


@pytest.mark.parametrize("text", TRAPS)
def test_what_only_looks_private_is_left_to_the_letter(text: str) -> None:
    assert scan(text) == []
    assert mask(text) == (text, Counter())


PIECES = [t for texts in TRUE_POSITIVES.values() for t in texts] + TRAPS
noise = st.text(alphabet=string.printable + "é＠€日\u00a0", max_size=30)
texts = st.lists(st.one_of(noise, st.sampled_from(PIECES), st.text(max_size=20)), max_size=8).map("".join)
kinds = st.sets(st.sampled_from(sorted(ALL_KINDS)))


@settings(max_examples=300, deadline=None)
@given(texts, kinds)
def test_masking_is_idempotent_and_complete_and_offsets_point_at_findings(text: str, kinds: set[str]) -> None:
    found = scan(text, kinds)
    ends = [0, *(f.end for f in found)]
    for before, finding in zip(ends, found, strict=False):
        assert before <= finding.start < finding.end <= len(text)
        assert finding.kind in kinds
    masked, counts = mask(text, kinds)
    assert scan(masked, kinds) == []
    assert mask(masked, kinds) == (masked, Counter())
    assert (masked == text) == (not found) == (not counts)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1 ",
        "a@",
        "1.",
        "eyJ",
        "=",
        "token=",
        "+1 ",
        "::",
        "1-",
        "a.b",
        "A1 ",
        "://a:",
        "DE89 3704 0044 ",
    ],
)
def test_time_grows_no_faster_than_the_text(piece: str) -> None:
    assert growth(lambda size: scan(piece * (size // len(piece))), 15_000, 4) < 10


def document(body: str, **changes: object) -> Document:
    fields: dict[str, object] = {
        "persona": "runa", "source": "web", "category": "article", "doc_id": text_hash(body), "url": "https://x/1",
        "fetched_at": datetime.now(UTC), "mime": "text/markdown", "body": body, "content_hash": text_hash(body),
    }  # fmt: skip
    return Document.model_validate(fields | changes)


SECRET = TRUE_POSITIVES["github_token"][0]
BODY = (
    f"I was careless ({SECRET}), so write to runa@hollisferries.net\nor ring +44 20 7946 0958. "
    + "It was a long day. " * 30
)


@pytest.mark.parametrize("masks", [True, False])
def test_secrets_are_always_masked_and_personal_data_by_the_persona(masks: bool) -> None:
    result = clean_documents([document(BODY, title=f"My key {SECRET}")], ["en"], mask_personal_data=masks)
    (cleaned,) = result.documents
    for view in (cleaned.voice_text, cleaned.search_text, cleaned.title or ""):
        assert SECRET not in view
        assert "[secret]" in view
    for view in (cleaned.voice_text, cleaned.search_text):
        assert ("runa@hollisferries.net" in view) is not masks
        assert ("7946 0958" in view) is not masks
    assert result.masked == {"github_token": 1} | ({"email": 1, "phone": 1} if masks else {})
    assert not leaks(result.documents, masks)


def test_the_check_on_cleaned_documents_fails_on_a_leak_and_names_no_secret() -> None:
    class Stub:
        def persona(self, _name: str) -> "Stub":
            return self

        mask_personal_data = False
        settings = SimpleNamespace(data_runner="native")

    good = clean_document(document(BODY), mask_personal_data=False)
    bad = good.model_copy(update={"voice_text": good.voice_text + TRUE_POSITIVES["aws_key"][0]})
    check = no_secrets.op.compute_fn.decorated_fn  # type: ignore[attr-defined]
    passed: dg.AssetCheckResult = check(Stub(), RowFile[CleanedDocument].of([good]))
    failed: dg.AssetCheckResult = check(Stub(), RowFile[CleanedDocument].of([good, bad]))
    assert passed.passed
    assert not failed.passed
    assert "AKIA" not in str(failed.metadata)
    assert "aws_key" in str(failed.metadata)


def test_real_writing_raises_hardly_a_false_alarm() -> None:
    if not CORPORA.is_dir():
        pytest.skip(
            f"NOT CHECKED ON REAL WRITING: no corpora at {CORPORA}; set TWIN_TEST_CORPORA to their folder"
        )
    found = Counter[str]()
    files = sorted(CORPORA.rglob("*.md"))
    for path in files:
        found.update(f.kind for f in scan(path.read_text(errors="replace")))
    assert len(files) > 500
    # All were read one by one: three AWS key ids, printed by their author, and two passwords in database
    # addresses (both of a tutorial); four phone numbers of places; addresses of servers, bots and lists.
    assert {k: n for k, n in found.items() if k in SECRET_KINDS} == {"aws_key": 3, "url_password": 2}
    assert found["phone"] <= 4
    assert found["card"] == found["iban"] == 0
    assert found["email"] <= 14
    assert found["ip"] <= 14
