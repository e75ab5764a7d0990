"""What tests of many calls share."""

import pytest


class Doubling:
    """A function that counts its runs, and raises for some keys."""

    def __init__(self):
        self.runs, self.fails_for = [], set()

    def run(self, key):
        self.runs.append(key)
        if key in self.fails_for:
            raise LookupError(key)
        return [key, key]


@pytest.fixture
def doubling():
    return Doubling()


@pytest.fixture
def double(cached, doubling):
    """`double(key)` is `[key, key]`."""

    @cached
    def double(key, part=None):
        return doubling.run(key)

    return double


@pytest.fixture
def adouble(cached, doubling):
    """The async twin of `double`."""

    @cached
    async def adouble(key, part=None):
        return doubling.run(key)

    return adouble
