"""Keys that must stay as they are: named values and calls, and what golden.json says of each.

A change of the format, of Python or of Django that changes a key makes every entry that was cached before
unreachable. Where that is meant, add it to the changelog and write the file anew:

    python -m tests.keys.golden
"""

import collections
import datetime
import decimal
import json
import pathlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from tests.keys import golden  # under its own name, which is part of keys

    golden.write()
    raise SystemExit

from django.apps.registry import Apps
from django.db import models
from django.http import QueryDict
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject, lazystr
from django.utils.safestring import SafeString
from django.views import View
from rest_framework import serializers
from rest_framework.request import Request

from cache_result import (
    ABSENT,
    ArgsKeyField,
    CacheKeyField,
    ConstantKeyField,
    DjangoModelKeyField,
    DrfSerializerKeyField,
    KeyConstructor,
    QueryParamsKeyField,
    RequestValueKeyField,
    ViewKwargsKeyField,
    cache_result,
)
from cache_result._core import canonical_bytes
from tests.app.models import Author, Document, Restaurant, Writer
from tests.property.values import (
    BERLIN,
    CET,
    NAMED_CET,
    UTC,
    Access,
    Bits,
    Colour,
    Day,
    Foreign,
    Keyed,
    Level,
    Marked,
    Moment,
    Noted,
    Number,
    OtherKeyed,
    Pair,
    Point,
    Price,
    Span,
    Spot,
    Tagged,
    Vector,
    Word,
    stored,
)

FILE = Path(__file__).with_name("golden.json")

VALUES: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "absent": ABSENT,
    "zero": 0,
    "minus one": -1,
    "smallest of 64 bits": -(2**63),
    "largest of 64 bits": 2**63 - 1,
    "smaller than 64 bits": -(2**63) - 1,
    "larger than 64 bits": 2**63,
    "71 bits": 2**71 - 1,
    "72 bits": 2**71,
    "2000 bits": -(2**2000),
    "float": 0.1,
    "minus zero": -0.0,
    "infinity": float("inf"),
    "not a number": float("nan"),
    "complex": complex(1, -0.0),
    "empty text": "",
    "text": "text",
    "text beyond ASCII": "é\u0301\uff41\U0001f600\x00",
    "lone surrogates": "\udfff\ud800",
    "text of 127": "x" * 127,
    "text of 128": "x" * 128,
    "text of 16384": "x" * 16384,
    "safe text": SafeString("<b>"),
    "lazy text": lazystr("lazy"),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"\x00\xff"),
    "memoryview": memoryview(b"\x00\xff"),
    "memoryview of shape": memoryview(b"123456").cast("B", (2, 3)),
    "memoryview of numbers": memoryview(b"12345678").cast("i"),
    "empty tuple": (),
    "tuple": (1, "1", (None,)),
    "empty list": [],
    "list": [2, 1, [3]],
    "list of 128": [None] * 128,
    "empty dict": {},
    "dict": {"b": 1, "a": [2], 1: "c", None: {}},
    "dict of unlike keys": {1.5: 1, (1, 2): 2, b"x": 3, frozenset({1}): 4, Colour.RED: 5, "\ud800": 6},
    "empty set": set(),
    "set": {3, "a", 1, None, (2,), b"b", 2.5},
    "frozenset": frozenset({3, "a", 1}),
    "ordered dict": collections.OrderedDict([("b", 1), ("a", 2)]),
    "default dict": collections.defaultdict(list, {"b": [1], "a": []}),
    "default dict without a default": collections.defaultdict(None, a=1),
    "counter": collections.Counter("abca"),
    "query dict": QueryDict("b=1&a=2&b=3"),
    "named tuple": Pair(1, "2"),
    "slots of a list": Tagged([1], "tag"),
    "attributes of a dict": Noted({"a": 1}, "note"),
    "integer of a class": Number(5),
    "large integer of a class": Number(2**70),
    "decimal": decimal.Decimal("1.10"),
    "small decimal": decimal.Decimal("-1E-400"),
    "decimal that is none": decimal.Decimal("sNaN123"),
    "decimal of a class": Price("9.99"),
    "enumeration": Colour.TEXT,
    "enumeration of integers": Level.LOW,
    "enumeration of texts": Word.ONE,
    "flag": Access.READ,
    "flags": Access.READ | Access.WRITE,
    "no flag": Access(0),
    "flags of integers": Bits.ONE | Bits.TWO,
    "flags without a name": Bits(9),
    "date": datetime.date(2024, 2, 29),
    "date of a class": Day(2024, 2, 29),
    "datetime": datetime.datetime(2024, 2, 29, 12, 30, 15, 123456),
    "datetime to the second": datetime.datetime(2024, 2, 29),
    "datetime in UTC": datetime.datetime(2024, 2, 29, tzinfo=UTC),
    "datetime at an offset": datetime.datetime(2024, 2, 29, tzinfo=CET),
    "datetime at a named offset": datetime.datetime(2024, 2, 29, tzinfo=NAMED_CET),
    "datetime in a zone": datetime.datetime(2024, 2, 29, tzinfo=BERLIN),
    "datetime in the zone UTC": datetime.datetime(2024, 2, 29, tzinfo=ZoneInfo("UTC")),
    "datetime in the second fold": datetime.datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    "datetime of a class": Moment(2024, 2, 29, tzinfo=UTC),
    "earliest datetime": datetime.datetime.min,
    "time": datetime.time(12, 30, 15, 5),
    "time in UTC": datetime.time(12, tzinfo=UTC),
    "timedelta": datetime.timedelta(-1, 5, 7),
    "timedelta of a class": Span(3),
    "UUID": uuid.UUID("12345678-1234-5678-9abc-def012345678"),
    "POSIX path": pathlib.PurePosixPath("/a/./b c/"),
    "Windows path": pathlib.PureWindowsPath("C:/a/B"),
    "concrete path": pathlib.PosixPath("a/é\udcff"),
    "range": range(1, 10, 3),
    "large range": range(2**80),
    "class": int,
    "class of a class": OtherKeyed.Inner,
    "dataclass": Point(1, ["2"]),
    "frozen dataclass": Vector(1),
    "dataclass of slots": Spot(1, None),
    "heir of a dataclass": Marked(1, "mark"),
    "row": stored(Author, 7),
    "row of another database": stored(Author, 7, "other"),
    "row of no database": stored(Author, 7, None),
    "row of a proxy": stored(Writer, 7),
    "row of a child": stored(Restaurant, 7),
    "row with a UUID": stored(Document, uuid.UUID(int=7)),
    "object with a key": Keyed(("a", 1)),
    "object of a nested class with a key": OtherKeyed.Inner({"a": 1}),
    "object with an encoder": Foreign([1]),
    "lazy object": SimpleLazyObject(lambda: stored(Author, 7)),
    "everything at once": [Point(Pair({Keyed(1): {2}}, b""), (Colour.RED, Foreign(None))), SafeString("")],
}


@cache_result(name="golden.value")
def of_value(value: Any) -> None:
    """The function that is called with every value."""


# --- calls


class Book(models.Model):
    """A model that no other test has reasons to change."""

    title = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=6, decimal_places=2, null=True)
    kind = models.CharField(max_length=1, choices=[("n", "novel"), ("p", "poems")], default="n")
    sequel_of = models.ForeignKey("self", on_delete=models.CASCADE)

    class Meta:
        app_label = "golden"
        apps = Apps()


class BookSerializer(serializers.ModelSerializer[Book]):
    subtitle = serializers.CharField(max_length=30, required=False)

    class Meta:
        model = Book
        fields = ("id", "title", "price", "kind", "subtitle")


Call = tuple[Any, tuple[Any, ...], dict[str, Any]]
CALLS: dict[str, Call] = {}


def calls(**given: Call | Callable[[], Call]) -> None:
    CALLS.update({name.replace("_", " "): made for name, made in given.items()})  # type: ignore[misc]


@cache_result
def plain(a: Any, b: Any = 2, *rest: Any, c: Any = None, **kwargs: Any) -> None:
    """Under its own name."""


class Published(KeyConstructor):
    country = ArgsKeyField("country", partition=True)
    rest = ArgsKeyField(["limit", "tags"])

    class Meta:
        namespace = "geo"
        version = 12
        key_identifier = "cities"


@cache_result(Published)
def cities(country: Any, limit: Any = 10, tags: Any = ()) -> None:
    """Namespace, version, identifier and a partition."""


class Payload(CacheKeyField):
    def get_key_payload(self, func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
        return {"arguments": args, "of": "payload"}


def _by(name: str, /, **options: Any) -> Any:
    """A function of `a` and `b` with the one field `f`, or with those that are given."""
    fields = {key: options.pop(key) for key in list(options) if isinstance(options[key], CacheKeyField)}

    def function(a: Any = None, b: Any = None) -> None:
        pass

    return cache_result({"fields": fields, "key_identifier": f"golden.{name}", **options})(function)


STYLES = {
    "hashed": _by("hashed", f=ArgsKeyField("a", partition=True, hash_value=True)),
    "sorted": _by("sorted", f=ArgsKeyField(["a", "b"], sort_lists=True)),
    "path": _by("path", f=ArgsKeyField("a", path="x.1", partition=True), g=ArgsKeyField("b", path="pk")),
    "normal": _by("normal", f=ArgsKeyField("a", normalizer=str.lower, partition=True)),
    "constants": _by("constants", f=ConstantKeyField("a", 1), g=ConstantKeyField("b", ["x"], partition=True)),
    "payload": _by("payload", f=Payload(partition=True), g=ArgsKeyField("a")),
    "two partitions": _by(
        "partitions", f=ArgsKeyField("a", partition=True), g=ArgsKeyField("b", partition=True)
    ),
    "short": _by(
        "short", f=ArgsKeyField("a", partition=True), max_key_suffix_length=10, hash_suffix_on_overflow=True
    ),
    "model": _by("model", f=DjangoModelKeyField(Book), g=ArgsKeyField("a")),
    "nothing": _by("nothing"),
}

calls(
    positional=(plain, (1,), {}),
    every_kind_of_argument=(plain, (1, "2", 3.0, None), {"c": [4], "d": 5, "e": {6}}),
    keywords=(plain, (), {"b": b"2", "a": 1}),
    version_and_namespace=(cities, ("DE",), {}),
    version_and_namespace_with_tags=(cities, ("DE", 5), {"tags": ["a", "b"]}),
    partition_beyond_ASCII=(cities, ("Côte d'Ivoire * \n",), {}),
    long_partition=(cities, ("x" * 100,), {}),
    partition_without_text=(cities, (("DE", 1),), {}),
    partition_of_None=(cities, (None,), {}),
    partition_of_a_row=(cities, (stored(Author, 7),), {}),
    hashed_partition=(STYLES["hashed"], ("secret",), {}),
    sorted_lists=(STYLES["sorted"], ([3, "1", [2, 1]], {"a": [2, 1]}), {}),
    path=(STYLES["path"], (Point(["a", "b"]), stored(Author, 7)), {}),
    path_to_nothing=(STYLES["path"], (Point([]), {}), {}),
    normalizer=(STYLES["normal"], ("LOUD",), {}),
    normalizer_that_fails=(STYLES["normal"], (5,), {}),
    constants=(STYLES["constants"], (), {}),
    payload_of_a_custom_field=(STYLES["payload"], ("a", ["b"]), {}),
    two_partitions=(STYLES["two partitions"], ("a", 5), {}),
    short_partition=(STYLES["short"], ("x" * 10,), {}),
    overflowing_partition=(STYLES["short"], ("x" * 11,), {}),
    shape_of_a_model=(STYLES["model"], (1,), {}),
    no_field=(STYLES["nothing"], (1,), {}),
)


@cache_result({"shape": DrfSerializerKeyField(BookSerializer)}, name="golden.serialized")
def serialized() -> None:
    """The shape of a serializer."""


@cache_result(
    {
        "user": RequestValueKeyField("user.pk", partition=True),
        "language": RequestValueKeyField("headers.Accept-Language"),
        "page": QueryParamsKeyField(["page", "tag"], partition=True),
        "unsorted": QueryParamsKeyField("tag", sort_lists=False),
        "every": QueryParamsKeyField(),
        "url": ViewKwargsKeyField("*"),
    },
    name="golden.view",
)
def view(request: Any, pk: Any, slug: Any = None) -> None:
    """Everything that a request has to offer."""


class Listing(View):
    @cache_result({"url": ViewKwargsKeyField("*"), "q": QueryParamsKeyField("q")}, name="golden.listing")
    def rows(self) -> None:
        """A view's helper."""


def _request(url: str, user: Any = None, **headers: str) -> Any:
    request = RequestFactory().get(url, headers=headers)
    if user is not None:
        request.user = user
    return request


def _searched() -> Any:
    url = "/?tag=b&page=2&tag=a&x=%C3%A9&empty="
    return _request(url, stored(Author, 7), **{"Accept-Language": "de"})


_drf = Request(_searched())
_drf.user = stored(Author, 7)
_listing = Listing()
_listing.setup(_request("/?q=1"), country="DE", pk=5)

calls(
    shape_of_a_serializer=(serialized, (), {}),
    view=(view, (_searched(), 5), {"slug": "city"}),
    view_of_a_plain_request=(view, (_request("/"), "5"), {}),
    view_of_a_DRF_request=(view, (_drf, 6), {"slug": "city"}),
    view_without_a_request=(view, (None, 5), {}),
    helper_of_a_view=(Listing.rows, (_listing,), {}),
)


class Shop(Keyed):
    @cache_result(name="golden.price")
    def price(self, item: Any) -> None:
        """A method."""

    @cache_result(name="golden.opened")
    @classmethod
    def opened(cls, year: Any) -> None:
        """A class method."""

    @cache_result(name="golden.tax")
    @staticmethod
    def tax(rate: Any) -> None:
        """A static method."""


class Branch(Shop):
    pass


calls(
    method=(Shop.price, (Shop("a"), 1), {}),
    method_of_a_subclass=(Shop.price, (Branch("a"), 1), {}),
    class_method=(Shop.opened.__func__, (Shop, 2024), {}),
    class_method_of_a_subclass=(Branch.opened.__func__, (Branch, 2024), {}),
    static_method=(Shop.tax, (19,), {}),
)


def made() -> dict[str, dict[str, dict[str, str]]]:
    """What the installed package makes of every value and call."""
    return {
        "values": {
            name: {"bytes": canonical_bytes(value).hex(), "key": of_value.get_cache_key(value)}
            for name, value in VALUES.items()
        },
        "calls": {
            name: {
                "bytes": function._canonical(*args, **kwargs).hex(),
                "key": function.get_cache_key(*args, **kwargs),
            }
            for name, (function, args, kwargs) in CALLS.items()
        },
    }


def read() -> dict[str, dict[str, dict[str, str]]]:
    """What it made of them when the file was written."""
    frozen: dict[str, dict[str, dict[str, str]]] = json.loads(FILE.read_text())
    return frozen


def write() -> None:
    FILE.write_text(json.dumps(made(), indent=1) + "\n")
    print(f"{len(VALUES)} values and {len(CALLS)} calls written to {FILE}")
