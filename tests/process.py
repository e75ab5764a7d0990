"""Real second Python processes: each runs one function of a test module and talks with the test over a pipe.

    def fill(parent, key):               def test_it(processes):
        parent.say("inside")                 child = processes(fill, 1)
        parent.expect("go on")               child.expect("inside")
        return ...                           child.say("go on")
                                             assert child.result() == ...

The child has the test's settings, servers and databases, and nothing else in common with the test.
"""

import importlib
import multiprocessing.connection
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DEADLINE = 60.0  # seconds; an interpreter has to start first


class Talk:
    """One end of the conversation."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._sending = threading.Lock()

    def _send(self, kind: str, content: Any) -> None:
        with self._sending:
            self._pipe.send((kind, content))

    def _receive(self) -> tuple[str, Any]:
        assert self._pipe.poll(DEADLINE), f"no word from the other process for {DEADLINE:.0f} s"
        message: tuple[str, Any] = self._pipe.recv()
        return message

    def say(self, word: Any) -> None:
        self._send("said", word)

    def expect(self, *words: Any) -> None:
        """These words, in whatever order the threads of the other process say them."""
        left = list(words)
        while left:
            kind, word = self._receive()
            assert kind == "said", word
            assert word in left
            left.remove(word)


class Process(Talk):
    """The test's end; the child ends with `result`, `kill` or the test."""

    def __init__(self, target: Callable[..., Any], *args: Any) -> None:
        ours, theirs = multiprocessing.Pipe()
        super().__init__(ours)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=ROOT,
            )
        ours.send((target.__module__, target.__qualname__, args))

    def result(self, passing_over: Any = None) -> Any:
        """What the function returned; the child has ended without complaint. It may have said
        `passing_over` any number of times, to show that it was alive."""
        kind, content = self._receive()
        while passing_over is not None and (kind, content) == ("said", passing_over):
            kind, content = self._receive()
        assert kind == "returned", content
        assert self._process.wait(DEADLINE) == 0
        return content

    def kill(self) -> None:
        """SIGKILL: the process has no chance to say goodbye to anybody."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._pipe.close()


def next_word(processes: list[Process]) -> tuple[Process, Any]:
    """Which of the processes says something next, and what."""
    by_pipe = {process._pipe: process for process in processes}
    ready = multiprocessing.connection.wait(list(by_pipe), DEADLINE)
    assert ready, f"no word from any process for {DEADLINE:.0f} s"
    first = by_pipe[ready[0]]  # type: ignore[index]
    kind, word = first._receive()
    assert kind == "said", word
    return first, word


def first_to_say(processes: list[Process], word: Any) -> Process:
    """The process that says `word` before any other says anything."""
    first, said = next_word(processes)
    assert said == word
    return first


class Processes:
    """Starts children, and lets none of them outlive the test."""

    def __init__(self) -> None:
        self._started: list[Process] = []

    def __call__(self, target: Callable[..., Any], *args: Any) -> Process:
        process = Process(target, *args)
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            process.close()


def main(descriptor: int) -> None:
    pipe: Connection[Any, Any] = Connection(descriptor)
    parent = Talk(pipe)
    module, name, args = pipe.recv()
    try:
        import django

        django.setup()
        target = getattr(importlib.import_module(module), name)
        parent._send("returned", target(parent, *args))
    except BaseException:
        parent._send("raised", traceback.format_exc())
        raise


if __name__ == "__main__":
    main(int(sys.argv[1]))
