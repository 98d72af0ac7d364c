"""How busy workers are, from what the fake voice model writes."""

import pytest

from benchmarks.pool_load import busy_shares, shares, spans_of

LOG = """call 0.0 10.0 1 8
line 5.0 2 77 1.5
call 0.0 5.0 2 8
call 15.0 20.0 2 8
call 10.0 20.0 1 8
line 20.0 1 78 10.0
"""


def test_busy_is_counted_until_the_last_batch_is_begun(tmp_path):
    log = tmp_path / "spoken.log"
    log.write_text(LOG)
    spans = spans_of(log)
    assert spans == {"1": [(0.0, 10.0), (10.0, 20.0)], "2": [(0.0, 5.0), (15.0, 20.0)]}
    assert busy_shares(spans) == pytest.approx(((15 + 5) / 30, 5 / 15))
    assert shares(log) == (0.0, 20.0, {"1": 1.0, "2": 0.5}, {"1": 0.5, "2": 0.075}, 10.0)
