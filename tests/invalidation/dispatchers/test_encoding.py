"""What travels to workers arrives as it was."""

import datetime
import enum
import json
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import django
import pytest
from django.db import models
from django.db.models import F
from django.utils.safestring import SafeString

from cache_result.invalidation.encoding import decode, decode_row, encode, encode_row
from tests.app.models import Parcel

HERE = ZoneInfo("Europe/Berlin")


class Colour(models.TextChoices):
    RED = "red"


class Paint:
    """Has choices of its own, as models do."""

    class Shade(models.IntegerChoices):
        DARK = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


def _hidden():
    class Colour(enum.Enum):
        RED = "red"

    return Colour.RED


VALUES = [
    None,
    True,
    0,
    2**80,
    1.5,
    float("inf"),
    "text",
    b"bytes",
    Decimal("1.00"),
    UUID(int=5),
    datetime.date(2024, 2, 29),
    datetime.datetime(2024, 2, 29, 12, 30, 0, 5),
    datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.UTC),
    datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=HERE),
    datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    datetime.time(12, 30, tzinfo=datetime.UTC),
    datetime.timedelta(days=-1, microseconds=5),
    Colour.RED,
    Paint.Shade.DARK,
    Access.WRITE,
    [1, (2, {3})],
    {"type": "int", (1, 2): [UUID(int=1)]},
    frozenset({1}),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_arrive(value):
    arrived = decode(json.loads(json.dumps(encode(value), allow_nan=False)))
    assert (type(arrived), arrived) == (type(value), value)
    if isinstance(value, datetime.datetime | datetime.time):
        assert (arrived.tzinfo, arrived.fold) == (value.tzinfo, value.fold)
    assert str(arrived) == str(value)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        SafeString("text"),
        [object()],
        lambda: 1,
        Parcel(pk=None),
        _hidden(),
        Access.READ | Access.WRITE,
    ],
)
def test_what_would_arrive_as_something_else_is_refused(value):
    with pytest.raises(TypeError, match="cannot travel to a worker"):
        encode(value)


@pytest.mark.django_db
class TestInstances:
    def test_an_instance_is_read_again(self):
        parcel = Parcel.objects.create(name="old")
        told = json.loads(json.dumps(encode(parcel)))
        Parcel.objects.update(name="new")
        assert decode(told) == parcel
        assert decode(told).name == "new"

    def test_rows(self):
        due = datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)
        parcel = Parcel.objects.create(name="old", weight=Decimal("1.500"), due=due, extra={"a": [1]})
        told = json.loads(json.dumps(encode_row(parcel, "default")))
        Parcel.objects.update(name="new")
        assert decode_row(told, deleted=False).name == "new"
        for deleted in (True, False):
            found = decode_row(told, deleted=deleted)
            assert found == parcel
            assert found._state.db == "default"
            if deleted:
                assert (found.name, found.weight, found.due, found.extra) == (
                    "old",
                    Decimal("1.500"),
                    due,
                    {"a": [1]},
                )
            Parcel.objects.all().delete()
        assert decode_row(told, deleted=False).name == "old"

    def test_deferred_fields_stay_so(self):
        Parcel.objects.create(name="old")
        parcel = Parcel.objects.defer("name").get()
        told = encode_row(parcel, "default")
        assert decode_row(told, deleted=True).get_deferred_fields() == {"name"}

    def test_an_expression_stays_behind(self):
        """The worker has the row from its database, or, where it is gone, without that value."""
        # Raises ValidationError in the worker when it travels as text.
        parcel = Parcel.objects.create(name="old", weight=1)
        parcel.weight = F("weight") + 1
        told = json.loads(json.dumps(encode_row(parcel, "default")))
        Parcel.objects.all().delete()
        assert decode_row(told, deleted=False).get_deferred_fields() == {"weight"}


if django.VERSION >= (5, 2):
    from tests.app.models import Seat

    @pytest.mark.django_db
    @pytest.mark.parametrize("deleted", [True, False])
    def test_a_key_of_several_columns(deleted):
        seat = Seat.objects.create(row="a", number=1)
        told = json.loads(json.dumps(encode_row(seat, "default")))
        Seat.objects.update(taken=True)
        found = decode_row(told, deleted=deleted)
        assert (found.pk, found.taken) == (("a", 1), not deleted)
