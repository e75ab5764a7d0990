"""`warm` and `awarm`: for scripts, which want all that can be had."""

import builtins
import sys

import pytest
import tqdm

from cache_result import Call
from tests.backends import on
from tests.freshness.conftest import asettle, settle
from tests.many.test_get_many import run

pytestmark = on("locmem", "memory", "redis")


@pytest.fixture(params=["sync", "async", "sync function"])
def warm(request, double, adouble):
    """Warms a function that doubles."""
    if request.param == "sync":
        return double.warm
    method = adouble.awarm if request.param == "async" else double.awarm
    return lambda *args, **kwargs: run(method, *args, **kwargs)


def test_what_is_missing_is_filled(warm, doubling):
    assert warm([1, 2]) == (0, 2, 0)
    assert warm(number for number in [2, 3, Call(4), {"key": 5}]) == (1, 3, 0)
    assert warm([]) == (0, 0, 0)
    assert sorted(doubling.runs) == [1, 2, 3, 4, 5]
    done = warm(range(1, 300))
    assert (done.cached, done.filled, done.failed) == (5, 294, 0)


def test_all_is_made_anew_if_asked_for(warm, doubling):
    warm([1, 2])
    assert warm([1, 2, 3], refresh=True) == (0, 3, 0)
    assert sorted(doubling.runs) == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("refresh", [False, True])
def test_errors_end_nothing(warm, doubling, caplog, refresh):
    doubling.fails_for = {2, 4}
    assert warm(range(6), refresh=refresh) == (0, 4, 2)
    messages = [record.getMessage() for record in caplog.records]
    assert [message.split(": ", 2)[2] for message in messages] == ["Call(2) raised", "Call(4) raised"]
    assert all(record.exc_info for record in caplog.records)


def test_calls_that_do_not_fit_are_not_swallowed(double):
    with pytest.raises(TypeError, match="give an iterable of arguments"):
        double.warm("text")


def test_ctrl_c_passes_through(cached):
    @cached
    def f(key):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        f.warm([1])


def test_what_is_stale_is_made_anew_before_it_returns(cached, doubling, clock):
    """Fails when it leaves that to the background: a script ends, and with it what waits there."""
    f = cached(ttl=10, stale_while_revalidate=60)(doubling.run)
    f.warm(range(20))
    clock.advance(20)
    assert f.warm(range(20)) == (0, 20, 0)
    assert len(doubling.runs) == 40
    settle()


async def test_the_same_on_a_loop(cached, doubling, clock):
    @cached(ttl=10, stale_while_revalidate=60)
    async def f(key):
        return doubling.run(key)

    await f.awarm(range(20))
    clock.advance(20)
    assert await f.awarm(range(20)) == (0, 20, 0)
    assert len(doubling.runs) == 40
    await asettle()


# --- the progress bar


@pytest.fixture
def bars(monkeypatch):
    """What became of progress bars."""
    bars = []

    class Bar:
        def __init__(self, total, desc, unit):
            self.total, self.done, self.closed = total, 0, False
            bars.append(self)

        def update(self, count):
            self.done += count

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.closed = True

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    return bars


def test_a_bar_shows_every_call(warm, bars, doubling):
    doubling.fails_for = {3}
    warm([1])
    warm(range(5), progress=True)
    warm((number for number in range(7)), progress=True)
    assert [(bar.total, bar.done, bar.closed) for bar in bars] == [(5, 5, True), (None, 7, True)]


def test_on_a_terminal_there_is_one(warm, bars, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    warm([1], progress=False)
    assert bars == []
    warm([1])
    assert len(bars) == 1


def test_without_tqdm(warm, monkeypatch):
    original = builtins.__import__

    def without(name, *args):
        if name == "tqdm":
            raise ImportError(name)
        return original(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"django-cache-result\[progress\]"):
        warm([1], progress=True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert warm([1]) == (0, 1, 0)
