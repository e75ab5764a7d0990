"""Promises 1 and 5 against a model that always knows the truth, on PostgreSQL, where both connections can
have written and not yet committed: see `tests/property/histories.py`."""

import pytest

from tests.backends import on
from tests.property.playing import play

pytestmark = [pytest.mark.django_db(transaction=True)]


@on("locmem", "redis")
def test_no_stale_read_and_no_rolled_back_value(cached, cache_alias, threads, caplog):
    play(cached, cache_alias, threads, {"locmem": 40, "redis": 15}[cache_alias])
    assert [record.getMessage() for record in caplog.records if record.name == "cache_result"] == []
