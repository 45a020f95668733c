import hashlib

from twin_assets.core.hashing import hash_share


def test_a_share_is_that_of_the_first_eight_bytes_so_that_sides_and_samples_stay_where_they_were() -> None:
    for text in ("17:cluster", "3:7", "ä"):
        digest = hashlib.sha256(text.encode()).digest()
        assert hash_share(text) == int.from_bytes(digest[:8], "big") / 2**64


def test_shares_are_spread_evenly() -> None:
    shares = [hash_share(f"17:{n}") for n in range(10_000)]
    assert 0 <= min(shares) < max(shares) < 1
    assert all(
        0.09 < sum(low <= s < low + 0.1 for s in shares) / len(shares) < 0.11 for low in (0.0, 0.4, 0.9)
    )
