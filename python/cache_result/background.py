"""Work in the background that nobody waits for: a few threads of this process, and tasks of an event loop."""

import asyncio
import atexit
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import AsyncToSync, ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections

from cache_result.reports import logger

THREADS = 4
TASKS = 16
"""So many tasks of an event loop work at once: each may have a thread and database connections."""
QUEUE = 256
"""So much work waits at most; what comes on top is refused."""
IDLE_SECONDS = 10.0
"""A thread that has had nothing to do for so long ends."""
EXIT_SECONDS = 1.0
"""So long the end of the process waits for what is running."""

Work = Callable[[], None]


class Pool:
    """A few daemon threads, begun when there is something to do."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Work] = deque()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, work: Work) -> bool:
        """Has ``work`` done by a thread, soon; False if there is too much of it already."""
        with self._changed:
            if self._closed or len(self._waiting) >= QUEUE:
                return False
            self._waiting.append(work)
            if self._idle >= len(self._waiting) or self._threads >= THREADS:
                self._changed.notify()
                return True
            self._threads += 1
        try:
            threading.Thread(target=self._run, name="cache_result", daemon=True).start()
        except RuntimeError:  # the interpreter is shutting down, or there can be no more threads
            with self._changed:
                self._threads -= 1
                if work in self._waiting:
                    self._waiting.remove(work)
                    return False
        return True

    def settle(self, seconds: float | None = None) -> bool:
        """Waits until nothing is waiting or running; whether that came about in time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle == self._threads and not self._waiting, seconds)

    def close(self) -> None:
        """Takes no more work, drops what has not begun, and waits a little for what has."""
        with self._changed:
            self._closed = True
            dropped = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        del dropped  # not under the lock: that frees the keys
        self.settle(EXIT_SECONDS)

    def _run(self) -> None:
        _of_thread.closers = []
        while (work := self._next()) is not None:
            try:
                close_old_connections()
                work()
            except Exception:
                logger.exception("cache_result: work in the background failed")
            finally:
                del work
                close_old_connections()
        connections.close_all()
        for close in _of_thread.closers:
            close()

    def _next(self) -> Work | None:
        """The next work; None when this thread is to end."""
        with self._changed:
            self._idle += 1
            self._changed.notify_all()
            there = self._changed.wait_for(lambda: self._waiting or self._closed, IDLE_SECONDS)
            self._idle -= 1
            if there and self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            self._changed.notify_all()
            return None


_of_thread = threading.local()
_pool = Pool()
_tasks: set["asyncio.Task[None]"] = set()
_turns: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]" = WeakKeyDictionary()


def submit(work: Work) -> bool:
    """Has ``work`` done by a thread of this process, soon; False if there is too much of it already."""
    return _pool.submit(work)


def at_once(work: Work) -> bool:
    """Does ``work`` here and now, whatever goes wrong in it."""
    try:
        work()
    except Exception:
        logger.exception("cache_result: work in the background failed")
    return True


def at_thread_end(close: Callable[[], object]) -> None:
    """Has ``close`` called when this thread ends, if it is one of the background."""
    closers: list[Callable[[], object]] | None = getattr(_of_thread, "closers", None)
    if closers is not None:
        closers.append(close)


def settle(seconds: float | None = None) -> bool:
    """Waits until no thread of the background has anything to do; whether that came about in time. One of
    them does not wait for itself."""
    return not hasattr(_of_thread, "closers") and _pool.settle(seconds)


async def asettle() -> None:
    """Waits until no task of the running loop's background is left, and no thread has anything to do."""
    loop = asyncio.get_running_loop()
    while mine := [task for task in _tasks if task.get_loop() is loop]:
        await asyncio.wait(mine)
    await asyncio.to_thread(settle)


def spawn(work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Has the running loop do ``work`` in a task that outlives the caller's, and ends with the loop; False if
    there is too much of it already."""
    if len(_tasks) >= TASKS + QUEUE:
        return False
    loop = asyncio.get_running_loop()
    task = loop.create_task(_apart(work, _turns.setdefault(loop, asyncio.Semaphore(TASKS))))
    _tasks.add(task)  # the loop itself holds tasks weakly
    task.add_done_callback(_tasks.discard)
    return True


def with_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Does ``work`` in this thread, on an event loop of its own."""
    AsyncToSync.executors.current = None  # the caller's thread does nothing for others any more
    asyncio.run(_apart(work, asyncio.Semaphore(1)))


async def _apart(work: Callable[[], Coroutine[Any, Any, None]], turns: asyncio.Semaphore) -> None:
    """Runs ``work``, when it is its turn, with a thread of its own for what Django's database connections are
    used in: the caller's may end with his request."""
    async with turns, ThreadSensitiveContext():
        try:
            await work()
        except Exception:
            logger.exception("cache_result: work in the background failed")
        finally:
            await asyncio.shield(sync_to_async(_close_connections, thread_sensitive=True)())


def _close_connections() -> None:
    # Behind `async_to_sync` this is the caller's thread after all, who may be in a transaction.
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block and connection.autocommit:
            connection.close()


def _after_fork() -> None:
    """The child has none of the threads, and what the parent has queued is the parent's."""
    global _pool, _tasks
    _pool, _tasks = Pool(), set()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(lambda: _pool.close())
