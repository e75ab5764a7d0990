"""The Rust objects take part in garbage collection: nothing that only a cycle keeps alive stays."""

import asyncio
import gc
import weakref

import pytest

from cache_result import ArgsKeyField, KeyConstructor, cache_result
from cache_result import transaction as watched


class Probe:
    """Something to look for after it should be gone."""


def is_collected(make):
    """Make something, drop it, and look whether what it held is gone."""
    probe = Probe()
    gone = weakref.ref(probe)
    make(probe)
    del probe
    gc.collect()
    return gone() is None


def test_a_wrapper_is_collected_with_its_function(unique_name):
    def make(probe):
        wrapper = cache_result(name=unique_name(), cache="locmem")(lambda x: probe and x)
        assert wrapper(1) == 1

    # Fails without the traversal of the wrapper's function.
    assert is_collected(make)


def test_a_cycle_through_the_wrapper_is_collected(unique_name):
    """The commonest one: the function refers to its own wrapper, as a recursive function does."""

    def make(probe):
        @cache_result(name=unique_name(), cache="locmem")
        def factorial(n):
            return probe and (n * factorial(n - 1) if n else 1)

        assert factorial(5) == 120

    # Fails without `__traverse__` of the wrapper.
    assert is_collected(make)


@pytest.mark.parametrize("option", ["ttl", "cache_if", "cache_unless"])
def test_a_cycle_through_a_predicate_is_collected(option, unique_name):
    def make(probe):
        answers = {"ttl": 60, "cache_if": True, "cache_unless": False}

        def predicate(result):
            return answers[option] if wrapper and probe else None

        wrapper = cache_result(**{option: predicate}, name=unique_name(), cache="locmem")(lambda x: x)
        assert wrapper(1) == wrapper(1) == 1

    assert is_collected(make)


def test_a_cycle_through_tags_is_collected(unique_name):
    def make(probe):
        def tags(x):
            return "x" if wrapper and probe else None

        wrapper = cache_result(tags=[tags, "x:{x}"], name=unique_name(), cache="locmem")(lambda x: x)
        assert wrapper(1) == wrapper(1) == 1

    # Fails without the traversal of what the tags hold.
    assert is_collected(make)


@pytest.mark.filterwarnings("ignore::cache_result.CacheResultWarning")  # of the lambda, which captures
def test_a_cycle_through_a_normalizer_is_collected(unique_name):
    def make(probe):
        field = ArgsKeyField("x", normalizer=lambda value: wrapper and probe and value)
        wrapper = cache_result({"fields": {"x": field}}, name=unique_name(), cache="locmem")(lambda x: x)
        assert wrapper(1) == 1

    assert is_collected(make)


def test_a_bound_method_is_collected(unique_name):
    class Shop:
        @cache_result({"fields": {"x": ArgsKeyField("x")}}, name=unique_name(), cache="locmem")
        def price(self, x):
            return x

    def make(probe):
        shop = Shop()
        shop.probe = probe
        shop.bound = shop.price
        assert shop.bound(1) == 1

    # Fails without `__traverse__` of the bound wrapper.
    assert is_collected(make)


def test_arguments_and_results_are_not_kept(unique_name):
    wrapper = cache_result({"fields": {}}, name=unique_name(), cache="locmem", cache_if=lambda _: False)(
        lambda x: x
    )

    def make(probe):
        assert wrapper(probe) is probe

    assert is_collected(make)


def test_exceptions_are_not_kept(unique_name):
    def fail(x):
        raise LookupError(x)

    wrapper = cache_result({"fields": {}}, name=unique_name(), cache="locmem")(fail)

    def make(probe):
        with pytest.raises(LookupError):
            wrapper(probe)

    assert is_collected(make)


def test_a_coroutine_that_is_never_awaited_is_collected(unique_name):
    wrapper = cache_result({"fields": {}}, name=unique_name(), cache="locmem")(_identity)

    def make(probe):
        call = wrapper(probe)
        with pytest.warns(RuntimeWarning, match="never awaited"):
            del call

    assert is_collected(make)


def test_a_cancelled_call_is_collected(unique_name):
    async def forever(x):
        await asyncio.Event().wait()

    wrapper = cache_result({"fields": {}}, name=unique_name(), cache="locmem")(forever)

    async def cancel(probe):
        tasks = [asyncio.create_task(wrapper(probe)) for _ in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    assert is_collected(lambda probe: asyncio.run(cancel(probe)))


async def _identity(x):
    return x


def test_a_key_constructor_does_not_keep_functions_alive(unique_name):
    class Mine(KeyConstructor):
        x = ArgsKeyField("x")

    def make(probe):
        wrapper = cache_result(Mine, name=unique_name(), cache="locmem")(lambda x: probe and x)
        assert wrapper(1) == 1

    assert is_collected(make)


def test_a_transaction_that_is_collected_while_others_are_counted(threads, monkeypatch):
    # Hangs where `transaction._lock` cannot be taken twice by one thread.
    class Connection:
        pass

    lost = [watched.Transaction(Connection())]
    weakref.finalize(lost[0], watched._count).atexit = False
    told = []

    def tell(*counts):
        lost.clear()
        told.append(counts)

    monkeypatch.setattr(watched._core, "set_open_transactions", tell)
    threads(watched._count).result()
    assert told == [(0, 0), (0, 0)]
