"""Promises 1 and 5 against a model that always knows the truth, on SQLite: see `histories.py`."""

import pytest
from django.db import connection

from tests.backends import on
from tests.property.playing import play

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture(params=["delete", "wal"])
def journal(request, transactional_db):
    """The journal mode of the database file, which its connections share."""
    _set_journal_mode(request.param)
    yield
    _set_journal_mode("delete")


def _set_journal_mode(mode):
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA journal_mode = {mode}")
        assert cursor.fetchall() == [(mode,)]


@on("locmem", "redis")
def test_no_stale_read_and_no_rolled_back_value(cached, cache_alias, journal, threads, caplog):
    play(cached, cache_alias, threads, {"locmem": 20, "redis": 6}[cache_alias])
    assert [record.getMessage() for record in caplog.records if record.name == "cache_result"] == []
