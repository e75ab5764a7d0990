"""Drives a call for asyncio: does what ``_core.Steps`` asks for, one step after the other."""

import asyncio
from typing import TYPE_CHECKING, Any

from cache_result import _core, fills
from cache_result.reports import verdict_failed
from cache_result.threads import off_the_loop

if TYPE_CHECKING:
    from cache_result.wrapper import CachedWrapper


async def drive(
    wrapper: "CachedWrapper[..., Any]", mode: str, want: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Takes a call from its arguments to its result."""
    steps = await off_the_loop(wrapper._steps, mode, want, args, kwargs)
    storage = wrapper.storage
    try:
        step = steps.start()
        while True:
            match step:
                case ("over", result):
                    return result
                case ("io", method, arguments):
                    step = steps.reply(await storage.aperform(method, *arguments))
                case ("run", store):
                    step = await _run_function(wrapper, steps, store, args, kwargs)
                case ("wait", seconds):
                    await _until_ended(steps, seconds)
                    step = steps.waited()
                case ("pause", seconds):
                    await asyncio.sleep(seconds)
                    step = steps.paused()
    except GeneratorExit:
        raise  # a coroutine that is thrown away must not wait for anything
    except BaseException:
        held = steps.close()
        if held is not None:
            await asyncio.shield(storage.aperform("abandon", *held))
        raise
    finally:
        steps.close()


async def _run_function(
    wrapper: "CachedWrapper[..., Any]",
    steps: _core.Steps,
    store: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Any, ...]:
    # Predicates and pickling belong to the fill: they may make nested calls, too.
    key = steps.key()
    fill = fills.enter(key) if key is not None else None
    try:
        return await _run_and_judge(wrapper, steps, store, args, kwargs)
    finally:
        if fill is not None:
            fills.leave(fill)


async def _run_and_judge(
    wrapper: "CachedWrapper[..., Any]",
    steps: _core.Steps,
    store: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[Any, ...]:
    try:
        value = await wrapper._invoke(args, kwargs)
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
