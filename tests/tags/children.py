"""What the second process of `test_processes.py` runs; `parent` is the conversation with the test."""

import contextlib

from cache_result import add_tags, cache_result, invalidate_tags
from tests.race.children import shared_state


def make(alias, name, inside=None, **options):
    """The same cached function in every process: it reads the truth, and adds a tag after that."""

    @cache_result(name=name, cache=alias, **options)
    def function(key):
        with contextlib.closing(shared_state()) as state:
            state.incr(f"{name}:runs")
            value = state.get(f"{name}:value")
        if inside is not None:
            inside()
        add_tags("added")
        return value

    return function


def fill(parent, alias, name):
    """Call the function, stopping between what it reads and the tag that it adds."""

    def stop():
        parent.say("inside")
        parent.expect("go on")

    return make(alias, name, stop)(1)


def invalidate(parent, alias, tag):
    """Invalidate a tag of functions that this process does not know."""
    invalidate_tags(tag, cache=alias)
    return "done"
