"""Celery with a real worker: another process, over a private Redis."""

import os
import uuid

import celery
import pytest

from cache_result import InvalidationRule, cache_result, cache_rewarmed
from tests import settings as test_settings
from tests.app.models import Parcel

pytestmark = pytest.mark.django_db(transaction=True)


def make_app():
    app = celery.Celery("tests", broker=f"redis+socket://{test_settings.RUN_DIR}/redis.sock?virtual_host=6")
    app.conf.update(
        broker_connection_retry_on_startup=True, broker_transport_options={"visibility_timeout": 60}
    )
    app.autodiscover_tasks(["cache_result"])
    return app


def make_functions(name, told=None):
    """The same functions in both processes."""

    def invalidator(wrapper, instance, signal_type):
        wrapper.delete_cache(instance.pk)
        told((os.getpid(), instance.pk, instance.name, signal_type.value))

    rewarm = InvalidationRule(
        Parcel, rewarm=True, field_mapping={"pk": "pk"}, dispatcher="celery", batch=True
    )
    custom = InvalidationRule(Parcel, invalidator=invalidator, dispatcher="celery")

    def name_of(pk):
        assert isinstance(pk, uuid.UUID)
        return Parcel.objects.get(pk=pk).name

    return [
        cache_result(name=f"{name}-{n}", cache="redis", invalidates_on=[rule])(name_of)
        for n, rule in enumerate([rewarm, custom])
    ]


def work(parent, name):
    """A Celery worker. It says when it is ready, and what it has done."""
    app = make_app()
    functions = make_functions(name, parent.say)

    def rewarmed(wrapper, kwargs, error, **extra):
        assert error is None, error
        parent.say((os.getpid(), kwargs["pk"], wrapper.get_cache_only(kwargs["pk"])))

    cache_rewarmed.connect(rewarmed, sender=functions[0])
    celery.signals.worker_ready.connect(lambda **told: parent.say(os.getpid()), weak=False)
    app.worker_main(
        [
            "worker",
            "--pool",
            "solo",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "-l",
            "ERROR",
        ]
    )


def test_a_worker_does_the_work(redis_server, processes, unique_name):
    name = unique_name()
    app = make_app()
    app.set_current()
    app.control.purge()
    warm, custom = make_functions(name)
    parcel = Parcel.objects.create(name="old")
    app.control.purge()  # the creation's, which nobody in this test asks about
    assert [warm(parcel.pk), custom(parcel.pk)] == ["old", "old"]
    worker = processes(work, name)
    kind, pid = worker._receive()
    assert kind == "said"
    assert pid != os.getpid()

    parcel.name = "new"
    parcel.save()
    said = [worker._receive()[1] for _ in range(2)]
    assert sorted(said, key=len) == [
        (pid, parcel.pk, "new"),
        (pid, parcel.pk, "new", "POST_SAVE"),
    ]
    assert warm.get_cache_only(parcel.pk) == "new"
    assert custom(parcel.pk) == "new"

    pk = parcel.pk
    parcel.delete()
    worker.expect((pid, pk, "new", "POST_DELETE"))
    app.close()


def test_a_worker_that_does_not_know_the_rule_fails_loudly(redis_server, processes, unique_name, capfd):
    app = make_app()
    app.set_current()
    app.control.purge()
    known = unique_name()
    warm, _ = make_functions(unique_name())
    parcel = Parcel.objects.create(name="old")
    app.control.purge()
    worker = processes(work, known)
    _, pid = worker._receive()
    parcel.save()
    # Work that it knows comes after, so that the other has been tried by then.
    last, _ = make_functions(known)
    parcel.name = "new"
    parcel.save()
    worker.expect((pid, parcel.pk, "new"))
    assert "knows no rule" in capfd.readouterr().err
    assert warm(parcel.pk) == last(parcel.pk) == "new"
    app.close()
