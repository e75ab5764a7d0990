"""Keys stay as they are: entries of an earlier release, or of another Python or Django, are found."""

import os

import pytest

from cache_result._core import canonical_bytes
from tests.keys import golden
from tests.keys.decoder import decode_all
from tests.property.values import identity

FROZEN = golden.read()
HOWTO = (
    "Entries that are cached under the old key are lost with the next release. If that is meant, add it to "
    "CHANGELOG.md and write the file anew: python -m tests.keys.golden"
)


@pytest.mark.parametrize("name", golden.VALUES)
def test_a_value_has_the_key_that_it_had(name):
    value, frozen = golden.VALUES[name], FROZEN["values"].get(name, {})
    assert canonical_bytes(value).hex() == frozen.get("bytes"), f"{name}: other bytes. {HOWTO}"
    assert golden.of_value.get_cache_key(value) == frozen.get("key"), f"{name}: another key. {HOWTO}"


@pytest.mark.parametrize("name", golden.CALLS)
def test_a_call_has_the_key_that_it_had(name):
    (function, args, kwargs), frozen = golden.CALLS[name], FROZEN["calls"].get(name, {})
    assert function._canonical(*args, **kwargs).hex() == frozen.get("bytes"), f"{name}: other bytes. {HOWTO}"
    assert function.get_cache_key(*args, **kwargs) == frozen.get("key"), f"{name}: another key. {HOWTO}"


def test_nothing_has_been_left_out():
    """A value that is no longer looked at would no longer be kept."""
    assert FROZEN["values"].keys() == golden.VALUES.keys()
    assert FROZEN["calls"].keys() == golden.CALLS.keys()


def test_every_frozen_value_can_be_read_back():
    for name, value in golden.VALUES.items():
        (read,) = decode_all(bytes.fromhex(FROZEN["values"][name]["bytes"]))
        assert identity(read) == identity(value), name
    for name in golden.CALLS:
        decode_all(bytes.fromhex(FROZEN["calls"][name]["bytes"]))


def golden_of_a_process(parent):
    return golden.made()


def test_no_key_depends_on_the_hash_seed(processes, monkeypatch):
    children = []
    for seed in ("1", "2", "3"):
        monkeypatch.setitem(os.environ, "PYTHONHASHSEED", seed)
        children.append(processes(golden_of_a_process))
    for child in children:
        assert child.result() == FROZEN, HOWTO
