"""Calls of wrappers on MemoryCache: how their arguments are read."""

import pytest
from django.core.cache import caches

LENGTHS = (0, 1, 50, *range(110, 135), 255, 256, 257, *range(500, 520), 5_000, 16_384, 40_000)
"""Of text that goes into the room for a call, just does not, or needs more."""


@pytest.fixture
def cache_alias():
    caches["memory"].clear()
    return "memory"


class Product:
    """An argument whose key is made by code of the user's own."""

    def __init__(self, number):
        self.number = number
        self.keys = 0

    def __cache_key__(self):
        self.keys += 1
        return self.number


def test_arguments_of_any_length(cached):
    runs = []

    @cached
    def function(number, text):
        runs.append((number, len(text)))
        return {"number": number, "lengths": [len(text)]}

    calls = [(number, length) for length in LENGTHS for number in (1, 2)]
    for number, length in (*calls, *reversed(calls), *calls):
        expected = {"number": number, "lengths": [length]}
        assert function(number, "x" * length) == expected
        assert function(number, text="x" * length) == expected
    assert runs == calls


def test_the_code_of_an_argument_runs_once_per_call(cached):
    @cached
    def function(product):
        return product.number

    for number in (1, 2):
        product = Product(number)
        for calls in (1, 2, 3):
            assert function(product) == number
            assert product.keys == calls
