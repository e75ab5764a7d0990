"""Drives a call in steps: does what ``_core.Steps`` asks for, one after the other.

Calls of asyncio are driven here, and so are runs in the background, of both kinds. In a thread of the
background the same coroutine runs, which there never suspends.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from asgiref.sync import AsyncToSync

from cache_result import _core, background, fills, transaction
from cache_result.backends.host import is_testing
from cache_result.reports import logger, verdict_failed
from cache_result.surroundings import captured
from cache_result.threads import off_the_loop

if TYPE_CHECKING:
    from cache_result.core_wrapper import CoreWrapper
    from cache_result.storage import Storage

Args = tuple[Any, ...]
Kwargs = dict[str, Any]


class Shell(Protocol):
    """How steps are done, and waited for."""

    async def perform(self, storage: "Storage", method: str, *args: Any) -> Any: ...
    async def invoke(self, wrapper: "CoreWrapper[..., Any]", args: Args, kwargs: Kwargs) -> Any: ...
    async def wait(self, steps: _core.Steps, seconds: float) -> None: ...
    async def pause(self, seconds: float) -> None: ...
    def renew(
        self, wrapper: "CoreWrapper[..., Any]", renewal: _core.Renewal, args: Args, kwargs: Kwargs
    ) -> bool: ...


class OnLoop:
    """By a task of the running loop."""

    async def perform(self, storage: "Storage", method: str, *args: Any) -> Any:
        return await storage.aperform(method, *args)

    async def invoke(self, wrapper: "CoreWrapper[..., Any]", args: Args, kwargs: Kwargs) -> Any:
        return await wrapper._invoke(args, kwargs)

    async def wait(self, steps: _core.Steps, seconds: float) -> None:
        await _until_ended(steps, seconds)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def renew(
        self, wrapper: "CoreWrapper[..., Any]", renewal: _core.Renewal, args: Args, kwargs: Kwargs
    ) -> bool:
        return renew_in_task(wrapper, renewal, args, kwargs)


class InThread:
    """By the thread itself, which waits in Python: the interpreter may end while it does."""

    async def perform(self, storage: "Storage", method: str, *args: Any) -> Any:
        return getattr(storage, method)(*args)

    async def invoke(self, wrapper: "CoreWrapper[..., Any]", args: Args, kwargs: Kwargs) -> Any:
        return wrapper._invoke_here(args, kwargs)

    async def wait(self, steps: _core.Steps, seconds: float) -> None:
        ended = threading.Event()
        steps.on_end(ended.set)
        ended.wait(seconds)

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no loop

    def renew(
        self, wrapper: "CoreWrapper[..., Any]", renewal: _core.Renewal, args: Args, kwargs: Kwargs
    ) -> bool:
        return renew_in_thread(wrapper, renewal, args, kwargs)


_ON_LOOP = OnLoop()
_IN_THREAD = InThread()


async def drive(wrapper: "CoreWrapper[..., Any]", mode: str, want: str, args: Args, kwargs: Kwargs) -> Any:
    """Takes a call of asyncio from its arguments to its result."""
    steps = await off_the_loop(wrapper._steps, mode, want, args, kwargs)
    return await drive_steps(wrapper, steps, args, kwargs)


async def drive_steps(
    wrapper: "CoreWrapper[..., Any]", steps: _core.Steps, args: Args, kwargs: Kwargs
) -> Any:
    """Takes a call of asyncio from its first step to its result."""
    return await _drive(_ON_LOOP, wrapper, steps, args, kwargs)


async def _drive(
    shell: Shell, wrapper: "CoreWrapper[..., Any]", steps: _core.Steps, args: Args, kwargs: Kwargs
) -> Any:
    storage = wrapper.storage
    try:
        step = steps.start()
        while True:
            match step:
                case ("over", result):
                    return result
                case ("io", method, arguments):
                    step = steps.reply(await shell.perform(storage, method, *arguments))
                case ("run", store):
                    step = await _run_function(shell, wrapper, steps, store, args, kwargs)
                case ("renew", renewal):
                    step = steps.renewing(shell.renew(wrapper, renewal, args, kwargs))
                case ("wait", seconds):
                    await shell.wait(steps, seconds)
                    step = steps.waited()
                case ("pause", seconds):
                    await shell.pause(seconds)
                    step = steps.paused()
    except GeneratorExit:
        raise  # a coroutine that is thrown away must not wait for anything
    except BaseException:
        held = steps.close()
        if held is not None:
            if shell is _ON_LOOP:
                await asyncio.shield(storage.aperform("abandon", *held))
            else:
                storage.abandon(*held)
        raise
    finally:
        steps.close()


async def _run_function(
    shell: Shell,
    wrapper: "CoreWrapper[..., Any]",
    steps: _core.Steps,
    store: bool,
    args: Args,
    kwargs: Kwargs,
) -> tuple[Any, ...]:
    # Predicates and pickling belong to the fill: they may make nested calls, too.
    key = steps.key()
    fill = fills.enter(key) if key is not None else None
    try:
        return await _run_and_judge(shell, wrapper, steps, store, args, kwargs)
    finally:
        if fill is not None:
            fills.leave(fill)


async def _run_and_judge(
    shell: Shell,
    wrapper: "CoreWrapper[..., Any]",
    steps: _core.Steps,
    store: bool,
    args: Args,
    kwargs: Kwargs,
) -> tuple[Any, ...]:
    try:
        value = await shell.invoke(wrapper, args, kwargs)
    except BaseException as error:
        return steps.raised(error)
    if not store:
        return steps.returned(value)
    try:
        accepted = await _awaited(steps.ask_predicate(value))
        ttl = await _awaited(steps.ask_ttl(value))
        return steps.returned(value, accepted, ttl)
    except Exception as error:
        try:
            verdict_failed(wrapper.label, error)
        except Exception as raised:
            return steps.raised(raised)
        return steps.returned(value, refused=True)
    except BaseException as error:
        return steps.raised(error)


async def _awaited(said: Any) -> Any:
    return await said if asyncio.iscoroutine(said) or hasattr(said, "__await__") else said


async def _until_ended(steps: _core.Steps, seconds: float) -> None:
    """Waits until the flight has ended or the time is over."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    steps.on_end(lambda: loop.call_soon_threadsafe(wake))
    try:
        async with asyncio.timeout(seconds):
            await ended
    except TimeoutError:
        pass


# --- in the background


def renew_in_thread(
    wrapper: "CoreWrapper[..., Any]", renewal: _core.Renewal, args: Args, kwargs: Kwargs | None
) -> bool:
    """Has an entry made anew by a thread of the background; False if there is too much of that already. In a
    TestCase it is made at once: no other thread sees the rows of the test."""
    try:
        context, call = _apart(wrapper, args, kwargs or {})
        surroundings = captured()

        def work() -> None:
            wrapper.storage.part_thread()
            context.run(_renew_here, wrapper, renewal, *call, surroundings)

        def begin() -> bool:
            return background.at_once(work) if transaction.is_in_testcase() else background.submit(work)

        return wrapper._when_free(begin)
    except Exception:
        renewal.drop()  # who keeps the record of the log keeps what is in its traceback
        logger.exception("cache_result: an entry of %s cannot be made anew in the background", wrapper.label)
        return False


def renew_in_task(
    wrapper: "CoreWrapper[..., Any]", renewal: _core.Renewal, args: Args, kwargs: Kwargs
) -> bool:
    """Has an entry made anew by a task of the running loop; False if there is too much of that already.

    The loop of ``async_to_sync`` ends with the call: instead of it a thread runs one of its own.
    """
    try:
        context, call = _apart(wrapper, args, kwargs)
        work = partial(_renew, _ON_LOOP, wrapper, renewal, *call)
        loop = asyncio.get_running_loop()
        # In tests it may be the only thread that sees their rows.
        is_passing = loop in AsyncToSync.loop_thread_executors and not is_testing()

        def alone() -> None:
            transaction.forget()
            background.with_a_loop(work)

        def begin() -> bool:
            if is_passing:
                return background.submit(partial(context.run, alone))
            if asyncio._get_running_loop() is loop:
                return context.run(background.spawn, work)
            # By a thread that closes the response.
            loop.call_soon_threadsafe(background.spawn, work, context=context)
            return True

        return wrapper._when_free(begin)
    except Exception:
        renewal.drop()  # who keeps the record of the log keeps what is in its traceback
        logger.exception("cache_result: an entry of %s cannot be made anew in the background", wrapper.label)
        return False


def _apart(
    wrapper: "CoreWrapper[..., Any]", args: Args, kwargs: Kwargs
) -> tuple[contextvars.Context, tuple[Args, Kwargs]]:
    """A copy of the caller's context, and of what he may change in his arguments from here on."""
    context = contextvars.copy_context()
    return context, context.run(_set_apart, wrapper, args, kwargs)


def _set_apart(wrapper: "CoreWrapper[..., Any]", args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    fills.forget()
    return wrapper._set_apart(copied(args), copied(kwargs))


def copied(value: Any) -> Any:
    """The same containers, of plain built-in types, with the same content: whoever changes one of them does
    not change the other."""
    if type(value) is dict:
        return {key: copied(item) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(copied(item) for item in value)
    return value


def _renew_here(
    wrapper: "CoreWrapper[..., Any]",
    renewal: _core.Renewal,
    args: Args,
    kwargs: Kwargs,
    surroundings: Callable[[], AbstractContextManager[None]],
) -> None:
    transaction.forget()  # those of the caller are not this thread's
    with suppress(StopIteration), surroundings():
        _renew(_IN_THREAD, wrapper, renewal, args, kwargs).send(None)


async def _renew(
    shell: Shell, wrapper: "CoreWrapper[..., Any]", renewal: _core.Renewal, args: Args, kwargs: Kwargs
) -> None:
    try:
        if shell is _IN_THREAD:
            steps = renewal.begin(args, kwargs)
        else:
            steps = await off_the_loop(renewal.begin, args, kwargs)
            await wrapper.storage.apart_thread()
        if steps is not None:
            await _drive(shell, wrapper, steps, args, kwargs)
    finally:
        renewal.drop()
        if shell is _ON_LOOP:
            await asyncio.shield(wrapper.storage.aleave_thread())
