"""The unit of quantities, by a pair of products of Binance whose candles say both units: the linear contract
counts coins, the inverse one contracts of dollars. The others have such a pair in tests of their own.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from conformance.recordings import recordings
from conformance.walk import Walk
from outcrier.instruments import QtyUnit
from plain_events import Candle


@pytest.mark.parametrize(
    ("name", "unit"),
    [("binance_usdm", QtyUnit.BASE), ("binance_coinm", QtyUnit.CONTRACTS_OF_QUOTE)],
)
def test_contracts_and_coins_of_recorded_candles_agree(name: str, unit: int, data_dir: Path) -> None:
    """By the size of a contract and the candle's prices, one volume is the other."""
    del data_dir
    checked: set[Decimal] = set()
    for recording in recordings(name):
        if "2021" not in recording.names[0]:
            continue  # The others hold no candle.
        walk = Walk(recording)
        listed = {each.native_symbol: each for each in walk.instruments}
        for step in walk.steps():
            if not any(isinstance(event, Candle) for event in step.events or ()):
                continue
            row = step.message["data"]["k"]
            instrument = listed[row["s"]]
            assert instrument.qty_unit == unit
            lots, other = instrument.contract_size * Decimal(row["v"]), Decimal(row["q"])
            low, high = Decimal(row["l"]), Decimal(row["h"])
            slack = Decimal("1e-6") * max(other, Decimal(1))
            if unit == QtyUnit.BASE:
                assert lots * low - slack <= other <= lots * high + slack, row
            else:
                assert lots / high - slack <= other <= lots / low + slack, row
            checked.add(instrument.contract_size)
    assert checked == ({Decimal(1)} if unit == QtyUnit.BASE else {Decimal(10), Decimal(100)})
