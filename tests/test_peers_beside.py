"""A standing "equal to the original" is held by a result file of a committed script, at the commit that it names."""

import json
from pathlib import Path

import pytest

from whenwhere.evaluate.names import find_protocol
from whenwhere.evaluate.protocols import PROTOCOLS

RESULT = json.loads((Path(__file__).parent.parent / "benchmarks/results/peers_beside.json").read_text(encoding="utf-8"))
ROWS = {find_protocol(row["protocol"]).name: row for row in RESULT["rows"]}
EQUAL = [p for p in PROTOCOLS.values() if p.standing == "equal to the original"]


@pytest.mark.parametrize("protocol", EQUAL, ids=lambda p: p.name)
def test_who_claims_to_be_equal_was_run_beside(protocol):
    row = ROWS[protocol.name]
    assert row["compared"] >= 40
    # Percentages are among the numbers: a few units in the last place of a double.
    assert row["largest difference"] < 1e-12, row["at"]
    assert row["commit"][:7] in protocol.source, (row["commit"], protocol.source)
    assert row["repository"] in protocol.source or protocol.source.startswith("the usual count")


def test_every_protocol_is_run_or_named_as_not_run():
    others = {p.name for p in PROTOCOLS.values() if p.standing == "from reading"} - ROWS.keys()
    assert others <= RESULT["not run"].keys()
    assert all(RESULT["not run"].values())
