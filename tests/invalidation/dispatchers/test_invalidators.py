"""Custom invalidators: what they are told, and when."""

import pytest
from django.db import connection, transaction

from cache_result import CACHE_MISSING, CacheRegister
from tests.app.models import Parcel
from tests.backends import on
from tests.invalidation.rows import rolled_back

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem")]
SAVED, DELETED = CacheRegister.SignalTypes.POST_SAVE, CacheRegister.SignalTypes.POST_DELETE


def rename(parcel, name="new", **options):
    parcel.name = name
    parcel.save(**options)


def test_a_save_calls_it(custom, parcel):
    function = custom()
    assert function.wrapper(parcel.pk) == "old"
    rename(parcel, update_fields=["name"])
    assert function.told == [(parcel, SAVED, False, frozenset({"name"}))]
    assert function.wrapper(parcel.pk) == "new"


def test_other_calls_keep_their_entries(custom, parcel):
    function, other = custom(), Parcel.objects.create(name="other")
    function.wrapper(other.pk)
    rename(parcel)
    assert function.wrapper.get_cache_only(other.pk) == "other"


def test_creation_and_deletion(custom):
    function = custom()
    parcel = Parcel.objects.create()
    pk = parcel.pk
    parcel.delete()
    assert [told[1:] for told in function.told] == [(SAVED, True, None), (DELETED, False, None)]
    assert function.told[1][0].pk == pk


def test_it_is_told_what_it_asks_for_only(custom, parcel):
    told = []
    custom(invalidator=lambda wrapper, instance: told.append(()))
    custom(invalidator=lambda wrapper, instance, signal_type: told.append(signal_type))
    custom(invalidator=lambda wrapper, instance, **extras: told.append(sorted(extras)))
    rename(parcel)
    assert told == [(), SAVED, ["instance_created", "signal_type", "update_fields"]]


def test_on_a_connection_that_is_never_in_autocommit_mode(custom, parcel, monkeypatch):
    # Fails (nothing is told, ever) when all work waits for that mode.
    monkeypatch.setitem(connection.settings_dict, "AUTOCOMMIT", False)
    function = custom()
    transaction.set_autocommit(False)
    try:
        rename(parcel)
        transaction.rollback()
        rename(parcel, "newer")
        assert function.names == []
        transaction.commit()
        assert function.names == ["newer"]
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


def test_it_may_be_async(custom, parcel):
    told = []

    async def invalidator(wrapper, instance):
        told.append(instance.name)

    custom(invalidator=invalidator)
    rename(parcel)
    assert told == ["new"]


def invalidator_by_path(wrapper, instance):
    instance.seen_by.append(wrapper)


def test_it_may_be_named_by_its_path(custom, parcel):
    function = custom(invalidator=f"{__name__}.invalidator_by_path")
    parcel.seen_by = []
    rename(parcel)
    assert parcel.seen_by == [function.wrapper]


def test_it_runs_after_the_commit_once_a_row_with_the_values_that_were_saved(custom, parcel):
    function = custom()
    with transaction.atomic():
        rename(parcel, "first", update_fields=["name"])
        rename(parcel, "last", update_fields=["name", "weight"])
        parcel.name = "never saved"
        assert function.told == []
    assert function.names == ["last"]
    assert function.told[0][1:] == (SAVED, False, frozenset({"name", "weight"}))


def test_a_rollback_tells_nobody(custom, parcel):
    function = custom()
    with rolled_back():
        rename(parcel)
    assert function.told == []


def test_a_rolled_back_savepoint_tells_nobody(custom, parcel):
    # Fails without `watched_savepoint_rollback` in transaction.py.
    function = custom()
    with transaction.atomic():
        rename(parcel, "kept")
        with rolled_back():
            rename(parcel, "first")
            with transaction.atomic():
                rename(parcel, "second")
    assert function.names == ["kept"]


def test_gates_hold(custom, parcel):
    function = custom(watch_fields=["weight"], trigger_on_create=False)
    rename(parcel)
    Parcel.objects.create()
    assert function.told == []
    parcel.weight = 2
    parcel.save()
    assert len(function.told) == 1


def test_a_write_of_unknown_rows_invalidates_the_function(custom, parcel):
    function = custom()
    function.wrapper(parcel.pk)
    Parcel.objects.update(name="new")
    assert function.told == []
    assert function.wrapper.get_cache_only(parcel.pk) is CACHE_MISSING


class TestErrors:
    def test_one_that_fails_is_tried_again(self, custom, parcel):
        function = custom()
        function.broken = 1
        rename(parcel)
        assert function.names == ["new"]

    def test_one_that_fails_for_good_is_logged_and_disturbs_nobody(self, custom, parcel, caplog):
        broken, fine = custom(), custom()
        broken.broken = 2
        called = []
        with transaction.atomic():
            rename(parcel)
            transaction.on_commit(lambda: called.append("by the user"))
        assert called == ["by the user"]
        assert fine.names == ["new"]
        assert "cannot invalidate" in caplog.text
        parcel.refresh_from_db()
        assert parcel.name == "new"

    @pytest.mark.parametrize("atomic", [True, False])
    def test_raising_where_asked_comes_after_everything_else(self, custom, parcel, atomic):
        broken, fine = custom(raise_exception=True), custom()
        broken.broken = 2
        called = []
        with pytest.raises(LookupError, match="cannot invalidate"):
            if atomic:
                with transaction.atomic():
                    rename(parcel)
                    transaction.on_commit(lambda: called.append("by the user"))
            else:
                rename(parcel)
        assert called == ["by the user"] * atomic
        assert fine.names == ["new"]
        parcel.refresh_from_db()
        assert parcel.name == "new"

    @pytest.mark.parametrize(
        "conf",
        [
            {"DISPATCHER_RAISE_EXCEPTION": True},
            {"DISPATCHER_SETTINGS": {"inline": {"RAISE_EXCEPTION": True}}},
        ],
    )
    def test_settings_ask_for_it_too(self, custom, parcel, settings, conf):
        settings.CACHE_RESULT = conf
        broken = custom()
        broken.broken = 2
        with pytest.raises(LookupError, match="cannot invalidate"):
            rename(parcel)
        quiet = custom(raise_exception=False)
        quiet.broken = 2
        rename(parcel)
