"""Task queues, each with a broker and a worker of its own kind inside the test."""

import datetime
from decimal import Decimal

import django_rq
import dramatiq
import pytest
from django.db import transaction
from django.utils.safestring import SafeString
from dramatiq.brokers.stub import StubBroker
from rq import SimpleWorker

from cache_result import CACHE_MISSING, InvalidationRule
from tests.app.models import Parcel
from tests.backends import on
from tests.invalidation.dispatchers.test_invalidators import DELETED, SAVED, rename

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem")]


class Rq:
    name = "django_rq"

    def __init__(self, request):
        request.getfixturevalue("redis_server")
        self.queue = django_rq.get_queue("default")
        self.queue.empty()

    def work(self):
        # A worker of this process, and of this thread.
        SimpleWorker([self.queue], connection=self.queue.connection).work(burst=True, logging_level="ERROR")


class Dramatiq:
    name = "dramatiq"

    def __init__(self, request):
        before = dramatiq.broker.global_broker
        self.broker = StubBroker()
        self.broker.emit_after("process_boot")
        dramatiq.set_broker(self.broker)
        request.addfinalizer(lambda: setattr(dramatiq.broker, "global_broker", before))

    def work(self):
        worker = dramatiq.Worker(self.broker, worker_timeout=100, worker_threads=1)
        worker.start()
        for queue in self.broker.queues:
            self.broker.join(queue, timeout=30_000, fail_fast=False)
        worker.join()
        worker.stop()


class AtOnce:
    """A queue whose worker is the one who enqueues."""

    def __init__(self, request):
        pass

    def work(self):
        pass


class DjangoQ(AtOnce):
    name = "django_q"


class DjangoTasks(AtOnce):
    name = "django_tasks"


class Celery(AtOnce):
    """For the encoding and the options; tests/slow has a real worker."""

    name = "celery"

    def __init__(self, request):
        import celery

        app = celery.Celery("tests", set_as_current=True)
        app.conf.task_always_eager = True
        request.addfinalizer(app.close)


@pytest.fixture(params=[Rq, Dramatiq, DjangoQ, DjangoTasks, Celery], ids=lambda kind: kind.name)
def broker(request):
    return request.param(request)


def test_rewarming(broker, rewarmed, parcel):
    function = rewarmed(dispatcher=broker.name)
    assert function.wrapper(parcel.pk) == "old"
    rename(parcel)
    broker.work()
    assert function.runs == [parcel.pk, parcel.pk]
    assert function.wrapper.get_cache_only(parcel.pk) == "new"


def test_generations_change_before_a_worker_comes(rewarmed, parcel, request):
    Rq(request)
    function = rewarmed(dispatcher="django_rq")
    assert function.wrapper(parcel.pk) == "old"
    rename(parcel)
    assert function.wrapper.get_cache_only(parcel.pk) is CACHE_MISSING


def test_a_rollback_sends_nothing(rewarmed, parcel, request):
    broker = Rq(request)
    rewarmed(dispatcher="django_rq")
    with transaction.atomic():
        rename(parcel)
        transaction.set_rollback(True)
    assert broker.queue.count == 0


def test_custom_invalidators(broker, custom):
    function = custom(dispatcher=broker.name)
    due = datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)
    parcel = Parcel.objects.create(name="old", weight=Decimal("1.5"), due=due, extra={"a": [1]})
    pk = parcel.pk
    broker.work()
    rename(parcel, update_fields=["name"])
    broker.work()
    parcel.delete()
    broker.work()
    assert [told[1:] for told in function.told] == [
        (SAVED, True, None),
        (SAVED, False, frozenset({"name"})),
        (DELETED, False, None),
    ]
    gone = function.told[2][0]
    assert (gone.pk, gone.name, gone.due, gone.extra) == (pk, "new", due, {"a": [1]})


def test_a_batch(broker, rewarmed, parcel):
    function, other = rewarmed(dispatcher=broker.name, batch=True), Parcel.objects.create(name="other")
    with transaction.atomic():
        rename(parcel)
        rename(other, "another")
    broker.work()
    found = [function.wrapper.get_cache_only(row.pk) for row in (parcel, other)]
    assert found == ["new", "another"]


def test_every_rule_has_its_own_queue(request, rewarmed, parcel):
    # Fails when the queue of the rule that comes first is that of all.
    broker = Dramatiq(request)
    queues = ["slow", "default", "slow"]
    functions = [rewarmed(dispatcher="dramatiq", dispatcher_config={"queue": queue}) for queue in queues]
    rename(parcel)
    assert {name: broker.broker.queues[name].qsize() for name in set(queues)} == {"slow": 2, "default": 1}
    broker.work()
    assert [function.runs for function in functions] == [[parcel.pk]] * 3


def test_a_worker_tries_again(request, rewarmed, parcel):
    broker = Rq(request)
    function = rewarmed(dispatcher=broker.name)
    function.broken = 1
    rename(parcel)
    broker.work()
    assert len(function.runs) == 2
    assert function.wrapper.get_cache_only(parcel.pk) == "new"


def test_a_value_that_cannot_travel_is_logged(request, cached, parcel, caplog, custom, monkeypatch):
    Rq(request)
    rule = InvalidationRule(
        Parcel, rewarm=True, field_mapping={"text": "_meta.verbose_name"}, dispatcher="django_rq"
    )
    monkeypatch.setattr(Parcel._meta, "verbose_name", SafeString("parcel"))
    function = cached(invalidates_on=[rule])(lambda text: text)
    fine = custom()
    rename(parcel)
    assert "cannot travel to a worker" in caplog.text
    assert function.label in caplog.text
    assert fine.names == ["new"]


def test_a_broker_that_is_down_is_logged(rewarmed, parcel, caplog, settings, monkeypatch):
    from django_rq import queues

    down = {"default": {"UNIX_SOCKET_PATH": str(settings.RUN_DIR / "nobody.sock"), "DB": 5}}
    monkeypatch.setattr(queues, "QUEUES", down, raising=False)
    settings.RQ_QUEUES = down
    function = rewarmed(dispatcher="django_rq", dispatcher_config={"queue": "default"})
    assert function.wrapper(parcel.pk) == "old"
    rename(parcel)
    assert "could not be given the work" in caplog.text
    assert function.wrapper(parcel.pk) == "new"
    parcel.refresh_from_db()
    assert parcel.name == "new"
