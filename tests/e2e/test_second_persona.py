"""The same graph on a real author: Hugo articles from a folder, beside another real author."""

import json
from pathlib import Path

import pytest

from tests.e2e.product import Product
from twin_assets.core.datasets.rows import dataset_folder
from twin_assets.core.models.registry import Registry
from twin_assets.core.release.ledger import Ledger
from twin_assets.core.storage.lake import open_lake
from twin_assets.settings import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

CORPORA = ROOT.parent / "shared" / "corpora"

DECLARED = """
name: jess
full_name: Jessie Frazelle
about: Jessie Frazelle is an engineer who writes about containers, Linux and hardware.
license: MIT
web:
  folders: [{corpora}/jessfraz-blog/post]
  include: ["[e-nqs]*.md"]  # 21 of the 74 articles, which are short: all of them train ten minutes
impostors: [{corpora}/simonw-til, {demo}/neighbours/marcus-vale, {demo}/neighbours/eleanor-whitcombe]
"""


def test_a_real_authors_folder_becomes_a_released_twin(tmp_path: Path) -> None:
    if not CORPORA.is_dir():
        pytest.skip(f"REAL AUTHOR TEST DID NOT RUN: there is no {CORPORA.name} folder beside the repository")
    product = Product.install(tmp_path)
    declared = DECLARED.format(corpora=CORPORA, demo=ROOT / "demo")
    (tmp_path / "personas" / "jess.yaml").write_text(declared)
    product.walk("jess", "--approve-as", "Ines", "--reason", "a test")

    lake = open_lake(product.settings)
    production = Ledger(lake, "jess").production()
    assert production is not None
    lineage = Registry(product.settings).get(production).lineage
    folder = lake.local(dataset_folder("jess", "instruct", lineage.datasets["instruct"]))
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert len(rows) > 300
    assert len({row["doc_id"] for row in rows}) > 12
    assert {"write_article", "write_section", "continue", "answer"} <= {row["task"] for row in rows}
