"""Wiping from a terminal: says what was wiped, and refuses what would reach nobody."""

from collections.abc import Callable, Iterable
from typing import Any

from asgiref.sync import async_to_sync
from django.core.management.base import CommandError

from cache_result import _core
from cache_result.keys.constructors import KeyConstructor
from cache_result.management.arguments import Call, require_whole_call, show_call
from cache_result.management.facts import reach
from cache_result.management.functions import Wrapper, known
from cache_result.storage import Storage, get_storage


def wipe(wrapper: Wrapper, call: Call, *, exact: bool, this_process: bool) -> str:
    """Wipes a function, one of its partitions, or one call; returns what was done.

    :raises CommandError: when the arguments name nothing of it, or nobody would hear of it.
    """
    said = show_call(wrapper, call)
    storage = wrapper.storage
    if not this_process:
        _require_reach([storage], f"{wrapper.label} is cached in")
    if exact:
        require_whole_call(wrapper, call)
        perform(wrapper, "delete_cache", call)
        done = f"Deleted the entry of {wrapper.label}({said})"
    elif not said:
        perform(wrapper, "invalidate_all")
        done = f"Invalidated every entry of {wrapper.label}"
    else:
        if asked(wrapper._prefix_scope, *call) == wrapper._function_scope():
            raise CommandError(
                f"{wrapper.label} has no partition fields, so ({said}) names no group of its entries; "
                "--exact deletes the entry of this one call, and without arguments all of them are wiped"
            )
        perform(wrapper, "delete_by_prefix", call)
        done = f"Invalidated the partition of {wrapper.label} that ({said}) names"
    _require_delivery([storage])
    return f"{done}, in {_place(storage)}"


def wipe_all(confirm: Callable[[str], bool], *, this_process: bool) -> str:
    """Wipes every function, once `confirm` has said yes; returns what was done.

    :raises CommandError: when nobody would hear of it, or the answer is no.
    """
    wrappers = known()
    storages = list({id(wrapper.storage): wrapper.storage for wrapper in wrappers}.values())
    if not this_process:
        _require_reach(storages, "there are functions that are cached in")
    places = ", ".join(_place(storage) for storage in storages) or "no cache"
    if not confirm(f"This invalidates every entry of all {len(wrappers)} cached functions, in {places}."):
        raise CommandError("Nothing was wiped.")
    KeyConstructor.wipe()
    _require_delivery(storages)
    return f"Invalidated every entry of {len(wrappers)} functions, in {places}"


def perform(wrapper: Wrapper, method: str, call: Call = ((), {})) -> Any:
    """Calls a method of a wrapper, through asyncio if the function is async.

    :raises CommandError: when the method refuses the arguments.
    """
    args, kwargs = call
    if wrapper.is_async:
        return asked(async_to_sync(getattr(wrapper, f"a{method}")), *args, **kwargs)
    return asked(getattr(wrapper, method), *args, **kwargs)


def asked(method: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """What a method returns.

    :raises CommandError: with what it says of arguments that do not suit.
    """
    try:
        return method(*args, **kwargs)
    except (TypeError, ValueError) as error:
        raise CommandError(str(error).removeprefix("cache_result: ")) from error


def unreachable(alias: str) -> str | None:
    """Why the entries of a cache cannot be seen from this process, if they cannot."""
    if reach(get_storage(alias)) is None:
        return None
    return f"the cache {alias!r} keeps entries in each process: those of others cannot be seen from here"


def _require_reach(storages: Iterable[Storage], what: str) -> None:
    lonely = [storage.alias for storage in storages if reach(storage) == "process"]
    if lonely:
        names = ", ".join(repr(alias) for alias in lonely)
        raise CommandError(
            f"Nothing was wiped: {what} {names}, which belongs to one process, so that the processes that "
            "serve would go on with what they have. Restart them, or call invalidate_all() inside of them. A "
            "cache that processes share hears of a wipe at once, and so does, on one host, "
            "cache_result.backends.MemoryCache with OPTIONS['HOST_INDEX'] = True. With --this-process only "
            "the entries of the process that runs this command are wiped."
        )


def _require_delivery(storages: Iterable[Storage]) -> None:
    down = [storage.alias for storage in storages if storage.pending or _has_lost_its_index(storage)]
    if down:
        names = ", ".join(repr(alias) for alias in down)
        raise CommandError(f"Out of reach: {names}. Nothing is wiped there; try again when it is back.")


def _has_lost_its_index(storage: Storage) -> bool:
    return isinstance(storage.index, _core.Memory) and storage.index.trouble is not None


def _place(storage: Storage) -> str:
    where = {"host": " of this host's processes", "process": " of this process alone", None: ""}
    return f"the cache {storage.alias!r}{where[reach(storage)]}"
