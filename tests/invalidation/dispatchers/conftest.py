"""What the tests of work after the commit share."""

import pytest

from cache_result import InvalidationRule
from tests.app.models import Parcel


@pytest.fixture
def parcel():
    return Parcel.objects.create(name="old")


class Rewarmed:
    """A cached function of a parcel's key that its rule rewarms, and the calls that ran."""

    def __init__(self, cached, **options):
        self.runs = []
        self.broken = 0

        def name_of(pk):
            self.runs.append(pk)
            if self.broken:
                self.broken -= 1
                raise LookupError("cannot rewarm")
            return Parcel.objects.get(pk=pk).name

        rule = InvalidationRule(Parcel, rewarm=True, field_mapping={"pk": "pk"}, **options)
        self.wrapper = cached(invalidates_on=[rule])(name_of)


@pytest.fixture
def rewarmed(cached):
    """`rewarmed(dispatcher=...)`"""
    return lambda **options: Rewarmed(cached, **options)


class Custom:
    """A cached function with an invalidator of its own, and what that was told."""

    def __init__(self, cached, **options):
        self.told = []
        self.broken = 0

        def invalidator(wrapper, instance, signal_type, instance_created, update_fields):
            if self.broken:
                self.broken -= 1
                raise LookupError("cannot invalidate")
            self.told.append((instance, signal_type, instance_created, update_fields))
            wrapper.delete_cache(instance.pk)

        def name_of(pk):
            return Parcel.objects.get(pk=pk).name

        rule = InvalidationRule(Parcel, **{"invalidator": invalidator, **options})
        self.wrapper = cached(invalidates_on=[rule])(name_of)

    @property
    def names(self):
        return [instance.name for instance, *_ in self.told]


@pytest.fixture
def custom(cached):
    """`custom(dispatcher=...)`"""
    return lambda **options: Custom(cached, **options)
