"""Forks as a preloading server makes them: the child goes on with a copy of everything."""

import os
import select
import traceback
import warnings

from tests.waiting import DEADLINE


def fork():
    with warnings.catch_warnings():
        # Python warns of forks of a process with threads: that is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_a_child(function, *args):
    """Runs a function in a forked child, for `joined` to wait for."""
    reading, writing = os.pipe()
    child = fork()
    if child == 0:
        complaint = "it ended in another way"
        try:
            function(*args)
            complaint = ""
        except BaseException:
            complaint = traceback.format_exc()
        finally:
            os.write(writing, complaint.encode()[:60_000])
            os._exit(0)
    os.close(writing)
    return child, reading


def joined(started):
    """Waits for a child of `in_a_child`: what went wrong there, or does not end, is an error here."""
    child, reading = started
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        ready, _, _ = select.select([pipe], [], [], DEADLINE)
        if not ready:
            os.kill(child, 9)
        complaint = pipe.read().decode() if ready else f"the child hung for {DEADLINE:.0f} s"
    os.waitpid(child, 0)
    assert not complaint, complaint
