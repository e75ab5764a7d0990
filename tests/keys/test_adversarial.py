"""Text that means something to somebody, objects that lie, and values that change under one's hands."""

import collections
import contextlib
import dataclasses
import datetime
import enum
import functools
import io
import itertools
import pathlib
import re
import sys
import threading
import types
import weakref
from unittest import mock

import pytest
from django.http import HttpRequest, QueryDict
from django.test import RequestFactory
from rest_framework.request import Request

from cache_result import (
    ArgsKeyField,
    ConstantKeyField,
    KeyConstructor,
    QueryParamsKeyField,
    RequestValueKeyField,
    UnkeyableArgument,
    cache_result,
    register_key_encoder,
)
from tests.app.models import Author
from tests.backends import on
from tests.property.values import Colour, Keyed, Number, Point, Shape, Vector, stored

HERE = re.escape(__name__)


@cache_result(name="test-adversarial.one")
def one(value):
    return value


@cache_result(
    {"first": ArgsKeyField("a", partition=True), "second": ArgsKeyField("b", partition=True)},
    name="test-adversarial.two",
)
def two(a, b):
    return a, b


@cache_result(name="test-adversarial.any")
def anything(*args, **kwargs):
    return args, kwargs


# --- text

NASTY = [
    *("a:b", "a::b", ":", "::", "a|b", "a,b", ",", "a=b", "a&b", "a+b", "~", "a~b", "..", "-", "_", "v2"),
    *("*", "a*", "?", "[a-z]", "[!a]", "\\*", "%", "_%", "{a}", "$(a)", "'", '"', "a'b", "`"),
    *(" ", "a b", "\t", "\n", "a\r\nb", "\r\nset x 0 0 1\r\n1\r\n", "\x00", "a\x00b", "\x1b[2J", "\x7f"),
    *("é", "e\u0301", "\u202e", "\u2028", "\ufeff", "\U0001f600", "\uffff", "x" * 300, "é" * 300, ":" * 300),
]
SURROGATES = ["\ud800", "a\udfff", "\ud83d\ude00", "\udcff:\udcff"]


def all_apart(keys):
    keys = list(keys)
    assert all(re.fullmatch(r"[!-~]{1,200}", key) for key in keys)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "key_of",
    [
        one.get_cache_key,
        lambda text: two.get_cache_key(text, ""),
        lambda text: two.get_cache_key("", text),
        lambda text: anything.get_cache_key(**{text: 1}),
        lambda text: one.get_cache_key({text: 1}),
        lambda text: one.get_cache_key({text}),
        lambda text: one.get_cache_key(Keyed(text)),
        lambda text: one.get_cache_key(stored(Author, text)),
        lambda text: one.get_cache_key(pathlib.PurePosixPath("x", text.replace("\x00", "0") + "x")),
    ],
    ids=["argument", "partition", "second partition", "keyword", "dict key", "set", "object", "row", "path"],
)
def test_no_text_of_a_call_is_special(key_of):
    texts = [*NASTY, *SURROGATES]
    all_apart(key_of(text) for text in texts)


def test_texts_of_a_partition_do_not_run_into_each_other():
    texts = ["", "a", "b", ":", "a:", ":a", "a:b", ",", "-", None, "None"]
    all_apart(two.get_cache_key(a, b) for a, b in itertools.product(texts, texts))


def _named(text, **options):
    fields = {"a": ArgsKeyField("a", partition=True)}
    return cache_result({"fields": fields, "key_identifier": "id", **options})(lambda a: a)


@pytest.mark.parametrize(
    "make",
    [
        lambda text: _named(text, namespace=text),
        lambda text: _named(text, key_identifier=text),
        lambda text: cache_result(name=text)(lambda a: a),
        lambda text: cache_result({"a": ConstantKeyField("c", text, partition=True)}, name="id")(lambda a: a),
        lambda text: cache_result({"a": ConstantKeyField(text, "c")}, name="id")(lambda a: a),
        lambda text: cache_result({text: ArgsKeyField("a")}, name="id")(lambda a: a),
    ],
    ids=["namespace", "identifier", "name", "constant", "name of a constant", "name of a field"],
)
def test_no_text_of_a_developer_is_special(make):
    all_apart(make(text).get_cache_key("a") for text in NASTY)


def test_names_do_not_run_into_each_other():
    """What is joined with colons in the text of a key is not joined in what the key stands for."""
    parts = ["a", "b", "a:b", "b:c", "c", "v2", "a:v2"]
    all_apart(
        _named("", namespace=namespace, key_identifier=name, version=version).get_cache_key(partition)
        for namespace, name, version, partition in itertools.product(parts, parts, (1, 2), ("a", "v2"))
    )


def test_no_query_parameter_is_special():
    fields = {"some": QueryParamsKeyField("page", partition=True), "every": QueryParamsKeyField()}
    view = cache_result(fields, name="test-adversarial.view")(lambda request: None)

    def key(*pairs):
        request = HttpRequest()
        request.GET = QueryDict(mutable=True)
        for name, value in pairs:
            request.GET.appendlist(name, value)
        return view.get_cache_key(request)

    texts = [*NASTY, *SURROGATES]
    all_apart([key(), *(key(("page", text)) for text in texts), *(key((text, "1")) for text in texts)])
    all_apart(
        [key(("page", "a"), ("page", "b")), key(("page", "a,b")), key(("page", "a+b")), key(("a", "b"))]
    )


def test_headers_are_only_text():
    fields = {"accept": RequestValueKeyField("headers.Accept", partition=True)}
    view = cache_result(fields, name="test-adversarial.header")(lambda request: None)
    all_apart(view.get_cache_key(RequestFactory().get("/", headers={"Accept": text})) for text in NASTY)


@on("locmem", "redis", "django_redis", "file", "db")
@pytest.mark.parametrize("pattern", ["*", "?", "[a-z]", "a*", "%", "_", "a\\", ".*"])
def test_a_partition_is_no_pattern(make_inc, pattern):
    inc = make_inc(key_constructor={"part": ArgsKeyField("part", partition=True), "key": ArgsKeyField("key")})
    assert [inc(1, "a"), inc(1, pattern)] == [1, 2]
    inc.delete_by_prefix(part=pattern)
    assert [inc(1, "a"), inc(1, pattern)] == [1, 3]


@on("locmem", "redis", "django_redis", "db")
@pytest.mark.parametrize("namespace", ["*", "a?", "[a-z]b", "a%", "a_", "a\\"])
def test_a_namespace_is_no_pattern(cache_alias, namespace):
    """Only its own older entries are deleted, whatever else the pattern would match."""

    def make(namespace, version):
        meta = type("Meta", (), {"namespace": namespace, "version": version, "key_identifier": "same"})
        key = type("Key", (KeyConstructor,), {"x": ArgsKeyField("x"), "Meta": meta})
        return key, cache_result(key, cache=cache_alias)(lambda x: (namespace, version))

    _, old = make(namespace, 1)
    _, other = make("ab", 1)
    key, new = make(namespace, 2)
    assert [old(1), other(1), new(1)] == [(namespace, 1), ("ab", 1), (namespace, 2)]
    assert key.delete_previous_versions() == 1
    assert [old.get_cache_only(1), other.get_cache_only(1)] != [(namespace, 1), ("ab", 1)]
    assert other.get_cache_only(1) == ("ab", 1)
    assert new.get_cache_only(1) == (namespace, 2)


# --- objects that raise


class Hostile:
    """Answers no question."""

    def refuse(self, *args):
        raise RuntimeError("do not ask")

    __eq__ = __ne__ = __hash__ = __bool__ = __len__ = __iter__ = __str__ = __repr__ = __format__ = refuse
    __reduce__ = __reduce_ex__ = __index__ = __int__ = __float__ = __getattr__ = __setattr__ = __call__ = (
        refuse
    )


class HostileKeyed(Hostile):
    def __cache_key__(self):
        return "key"


class HostileClass(Hostile):
    __class__ = property(Hostile.refuse)


class HostileAttributes:
    def __getattribute__(self, name):
        raise RuntimeError("do not ask")


class HostileCopy(Hostile):
    def __deepcopy__(self, memo):
        raise RuntimeError("do not ask")


@dataclasses.dataclass(eq=False, repr=False)
class HostilePoint(Hostile):
    x: int
    __setattr__ = object.__setattr__


def test_an_object_is_asked_for_nothing_but_its_key():
    assert one.get_cache_key(HostileKeyed()) == one.get_cache_key(HostileKeyed())
    assert one.get_cache_key(HostilePoint(1)) != one.get_cache_key(HostilePoint(2))
    assert one.get_cache_key({1: [HostilePoint(1)]}) == one.get_cache_key({1: [HostilePoint(1)]})


def said(error):
    """All that a developer reads."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


@pytest.mark.parametrize("make", [Hostile, HostileClass, HostileAttributes, HostileCopy])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"a": (x,)}, Keyed, Point])
def test_an_object_that_raises_is_an_error_that_names_the_argument(make, wrap):
    for call in (lambda value: one.get_cache_key(value), lambda value: two.get_cache_key(1, b=value)):
        with pytest.raises((UnkeyableArgument, RuntimeError)) as caught:
            call(wrap(make()))
        assert re.search(rf"argument '(value|b)' of {HERE}\.(one|two)", said(caught.value))


class Oops(Exception):
    pass


class Fatal(BaseException):
    pass


class Stubborn(Exception):
    """Takes no notes."""

    def add_note(self, note):
        raise RuntimeError


class Failing:
    def __init__(self, error):
        self.error = error

    def __cache_key__(self):
        raise self.error


class FailingForeign:
    def __init__(self, error):
        self.error = error


def _fail(value):
    raise value.error


register_key_encoder(FailingForeign, _fail)


@pytest.mark.parametrize("error", [Oops("why"), Fatal("why"), KeyError("why"), TypeError("why")])
@pytest.mark.parametrize("make", [Failing, FailingForeign])
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [{"deep": x}], Keyed], ids=["alone", "deep", "key"])
def test_an_error_of_a_key_stays_itself_and_says_whose_it_is(error, make, wrap):
    error.__notes__ = []
    with pytest.raises(type(error)) as caught:
        one.get_cache_key(wrap(make(error)))
    assert caught.value is error
    assert not isinstance(error, UnkeyableArgument)
    (note,) = error.__notes__
    assert f"argument 'value' of {__name__}.one" in note


def test_an_error_that_takes_no_note_stays_itself():
    error = Stubborn("why")
    with pytest.raises(Stubborn) as caught:
        one.get_cache_key(Failing(error))
    assert caught.value is error


@pytest.mark.parametrize("call", [one, one.refresh, one.get_cache_only, one.delete_cache, one.get_cache_key])
def test_an_error_of_a_key_reaches_every_caller(call):
    with pytest.raises(Oops) as caught:
        call(Failing(Oops()))
    assert f"argument 'value' of {__name__}.one" in said(caught.value)


def test_a_key_that_has_no_key_is_refused():
    with pytest.raises(UnkeyableArgument, match=rf"argument 'value' of {HERE}\.one .*<object>"):
        one.get_cache_key(Keyed([object()]))


# --- objects that lie


class Proxy:
    """Passes for what it holds, as those of wrapt do."""

    def __init__(self, target):
        object.__setattr__(self, "_target", target)

    @property
    def __class__(self):
        return type(self._target)

    def __getattr__(self, name):
        return getattr(self._target, name)


def _key_or_none(value):
    try:
        return one.get_cache_key(value)
    except UnkeyableArgument:
        return None


PROXIED = {
    "enumerations": [Colour.RED, Shape.RED],
    "rows": [stored(Author, 1), stored(Author, 2)],
    "dataclasses": [Point(1), Point(2), Vector(1)],
    "datetimes": [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 2)],
    "paths": [pathlib.Path("a"), pathlib.PurePosixPath("a"), pathlib.Path("b")],
    "numbers": [Number(1), Number(2), 1, True, 1.0],
    "texts": ["a", "b", b"a"],
    "containers": [[1], [2], (1,), {1}, {1: 1}],
    "objects with a key": [Keyed(1), Keyed(2)],
    "classes": [Point, Vector],
}


@pytest.mark.parametrize("make", [Proxy, weakref.proxy], ids=["proxy", "weakref.proxy"])
@pytest.mark.parametrize("kind", PROXIED)
def test_proxies_of_different_things_share_no_key(kind, make):
    keys = []
    for target in PROXIED[kind]:
        with contextlib.suppress(TypeError):  # not everything has weak references
            keys.append(_key_or_none(make(target)))
    known = [key for key in keys if key is not None]
    assert len(set(known)) == len(known)


def test_a_proxy_of_what_is_gone_is_an_error():
    gone = weakref.proxy(Keyed(1))
    with pytest.raises((UnkeyableArgument, ReferenceError)) as caught:
        one.get_cache_key(gone)
    assert f"argument 'value' of {__name__}.one" in said(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        mock.Mock,
        mock.MagicMock,
        mock.AsyncMock,
        mock.NonCallableMagicMock,
        lambda: mock.Mock(spec=HttpRequest),
        lambda: mock.MagicMock(spec=Author),
        lambda: mock.MagicMock(spec=stored(Author, 1)),
        lambda: mock.MagicMock(spec=Author, pk=1, _state=mock.Mock(adding=False, db="default")),
        lambda: mock.MagicMock(spec=Colour.RED),
        lambda: mock.MagicMock(spec=datetime.datetime),
        lambda: mock.MagicMock(spec=str),
        lambda: mock.MagicMock(spec=Point(1)),
        lambda: mock.create_autospec(Keyed, instance=True),
        lambda: mock.sentinel.something,
    ],
)
def test_a_mock_has_no_key(make):
    """Each of its answers is another mock, and none says what it stands for."""
    with pytest.raises(UnkeyableArgument, match=rf"argument 'value' of {HERE}\.one"):
        one.get_cache_key(make())


class Agreeable(type):
    """Equal to everything, and everything is an instance of it."""

    def __eq__(cls, other):
        return True

    def __hash__(cls):
        return 1

    def __instancecheck__(cls, instance):
        return True

    def __subclasscheck__(cls, subclass):
        return True


class Agreeing(metaclass=Agreeable):
    pass


class AgreeingToo(metaclass=Agreeable):
    pass


@dataclasses.dataclass
class AgreeingPoint(metaclass=Agreeable):
    x: int


class AgreeingColour(str, metaclass=Agreeable):
    pass


def test_a_class_that_equals_everything_is_itself():
    values = [
        *(Agreeing, AgreeingToo, AgreeingPoint, int),
        *(AgreeingPoint(1), AgreeingPoint(2), Point(1), AgreeingColour("1"), "1", 1),
    ]
    all_apart(one.get_cache_key(value) for value in values)
    with pytest.raises(UnkeyableArgument, match="Agreeing"):
        one.get_cache_key(Agreeing())


def test_an_encoder_of_a_class_that_equals_everything_is_for_its_own_instances():
    register_key_encoder(Agreeing, lambda value: "encoded")
    assert one.get_cache_key(Agreeing()) == one.get_cache_key(Agreeing())
    with pytest.raises(UnkeyableArgument, match="AgreeingToo"):
        one.get_cache_key(AgreeingToo())
    assert one.get_cache_key(Point(1)) != one.get_cache_key(Point(2))


@pytest.mark.parametrize(
    ("module", "qualname"),
    [
        (Keyed.__module__, "Point"),
        ("builtins", "int"),
        ("no.such.module", "Point"),
        (__name__, "no such class"),
        ("", ""),
        (__name__, ""),
        (Keyed.__module__, "OtherKeyed.Inner"),
    ],
)
def test_a_class_under_anothers_name_is_refused(module, qualname):
    """As a value, and as the class of one; and nobody gets its keys."""
    liar = dataclasses.make_dataclass("Liar", ["x", "y"])
    liar.__module__, liar.__qualname__ = module, qualname
    child = type("int", (int,), {"__module__": module, "__qualname__": qualname or "int"})
    for value in (liar, liar(1, 0), child(1), [child]):
        with pytest.raises(UnkeyableArgument, match=rf"argument 'value' of {HERE}\.one"):
            one.get_cache_key(value)


@pytest.mark.parametrize("name", [None, 5, ["Point"]])
def test_a_class_whose_name_is_no_text_is_an_error(name):
    odd = dataclasses.make_dataclass("Odd", ["x"])
    odd.__module__ = name
    with pytest.raises(TypeError) as caught:
        one.get_cache_key(odd(1))
    assert f"argument 'value' of {__name__}.one" in said(caught.value)


def test_local_classes_with_a_key_are_apart_in_this_process():
    def make():
        class Local(Keyed):
            pass

        return Local(1)

    all_apart(one.get_cache_key(value) for value in (make(), make(), Keyed(1)))


class Nothing:
    """Says that it is None."""

    __class__ = type(None)

    def __bool__(self):
        return False


class Whatever:
    __class__ = property(lambda self: int)

    def __index__(self):
        return 1


@pytest.mark.parametrize("make", [Nothing, Whatever])
def test_what_looks_like_a_plain_value_is_refused(make):
    with pytest.raises(UnkeyableArgument, match=make.__name__):
        one.get_cache_key(make())


class OnTheInstance:
    def __init__(self, key):
        self.__cache_key__ = lambda: key


def test_a_key_on_the_instance_does_not_count():
    """As with all methods that Python looks up by itself."""
    with pytest.raises(UnkeyableArgument, match="OnTheInstance"):
        one.get_cache_key(OnTheInstance(1))


# --- values that change while their key is made


class Meddler:
    """Changes something whenever its key is made."""

    def __init__(self, change):
        self.change = change

    def __cache_key__(self):
        self.change()
        return "meddler"


def _meddled():
    listed = []
    listed += [Meddler(listed.clear), 1, 2]
    alone = []
    alone += [Meddler(alone.clear)]
    growing = []
    growing += [Meddler(lambda: growing.extend(range(1000))), 1]
    mapped = {}
    mapped.update({"a": Meddler(mapped.clear), "b": 1})
    wider = {}
    wider.update({"a": Meddler(lambda: wider.update(dict.fromkeys(range(1000)))), "b": 1})
    grouped = set()
    grouped.update({Meddler(grouped.clear), 1})
    ordered = collections.OrderedDict()
    ordered.update({"a": Meddler(ordered.clear), "b": 1})
    point = Point(None, 1)
    point.x = Meddler(lambda: point.__dict__.clear())
    default = collections.defaultdict(int)
    default.update({"a": Meddler(lambda: [default[number] for number in range(1000)]), "b": 1})
    return {
        "list": (listed, [Meddler(int), 1, 2]),
        "list of one": (alone, [Meddler(int)]),
        "growing list": (growing, [Meddler(int), 1]),
        "dict": (mapped, {"a": Meddler(int), "b": 1}),
        "growing dict": (wider, {"a": Meddler(int), "b": 1}),
        "set": (grouped, {Meddler(int), 1}),
        "ordered dict": (ordered, collections.OrderedDict(a=Meddler(int), b=1)),
        "dataclass": (point, Point(Meddler(int), 1)),
        "default dict": (default, collections.defaultdict(int, a=Meddler(int), b=1)),
    }


@pytest.mark.parametrize("name", _meddled())
def test_the_key_is_that_of_the_value_before_it_was_changed(name):
    changing, as_it_was = _meddled()[name]
    assert one.get_cache_key(changing) == one.get_cache_key(as_it_was)


@pytest.mark.parametrize("name", _meddled())
def test_sorted_lists_may_change_too(name):
    by_value = cache_result({"v": ArgsKeyField("value", sort_lists=True)}, name="test-adversarial.sorted")(
        lambda value: None
    )
    changing, as_it_was = _meddled()[name]
    assert by_value.get_cache_key(changing) == by_value.get_cache_key(as_it_was)


def test_an_argument_may_change_the_arguments():
    args, kwargs = [], {}
    args += [Meddler(args.clear), 1]
    kwargs.update({"a": Meddler(kwargs.clear), "b": 1})
    assert anything.get_cache_key(*args, **kwargs) == anything.get_cache_key(
        Meddler(int), 1, a=Meddler(int), b=1
    )


# A value, two changes that a thread makes to it in turn, and both states that it can be in.
CHANGING = {
    "list": (list(range(500)), list.reverse, list.reverse, list(range(500))[::-1]),
    "dict": (
        dict.fromkeys(range(99)),
        lambda d: d.update(x=1),
        lambda d: d.pop("x"),
        {**dict.fromkeys(range(99)), "x": 1},
    ),
    "set": (set(range(99)), lambda s: s.add("x"), lambda s: s.discard("x"), {*range(99), "x"}),
    "bytearray": (bytearray(b"ab" * 50), bytearray.reverse, bytearray.reverse, bytearray(b"ba" * 50)),
}


@pytest.mark.parametrize("name", CHANGING)
def test_a_thread_may_change_the_value(name, threads):
    value, change, change_back, changed = CHANGING[name]
    known = {one.get_cache_key(value), one.get_cache_key(changed)}
    enough = threading.Event()

    def meddle():
        while not enough.is_set():
            change(value)
            change_back(value)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        meddler = threads(meddle)
        seen = {one.get_cache_key(value) for _ in range(3_000)}
    finally:
        enough.set()
        sys.setswitchinterval(interval)
    meddler.result()
    assert seen <= known


def test_making_a_key_changes_nothing():
    # Fails ({"missing": 0}) when a path asks a defaultdict for what it does not have.
    value = collections.defaultdict(int, there=1)
    field = ArgsKeyField("value", path="missing.deeper")
    by_path = cache_result({"v": field}, name="test-adversarial.path")(lambda value: None)
    by_path.get_cache_key(value)
    one.get_cache_key(value)
    assert value == {"there": 1}


# --- what has no key


class Plain:
    @cache_result(name="test-adversarial.method")
    def method(self, x):
        return x


async def coroutine():
    pass


def generator():
    yield


def _drf():
    return Request(RequestFactory().get("/"))


@pytest.mark.parametrize(
    ("make", "kind", "way_out"),
    [
        (lambda: RequestFactory().get("/"), "WSGIRequest", "RequestValueKeyField"),
        (_drf, "Request", "QueryParamsKeyField"),
        (lambda: mock.Mock(spec=HttpRequest), "Mock", "ViewKwargsKeyField"),
        (lambda: Author.objects.filter(name="x"), "QuerySet", "values_list"),
        (lambda: Author.objects, "Manager", "ArgsKeyField"),
        (lambda: Author(name="unsaved"), "Author", "save it first"),
        (lambda: generator, "function", "name that stands for it"),
        (lambda: lambda: 1, "function", "name that stands for it"),
        (lambda: Keyed(1).__cache_key__, "method", "name that stands for it"),
        (lambda: len, "builtin_function_or_method", "name that stands for it"),
        (lambda: functools.partial(int, base=2), "partial", "plain value"),
        (lambda: Plain(), "Plain", "__cache_key__"),
        (lambda: object(), "object", "register_key_encoder"),
        (lambda: io.BytesIO(b"content"), "BytesIO", "plain value"),
        (generator, "generator", "plain value"),
        (lambda: iter([1]), "list_iterator", "plain value"),
        (lambda: {}.keys(), "dict_keys", "plain value"),
        (lambda: types.MappingProxyType({}), "mappingproxy", "plain value"),
        (lambda: collections.deque(), "deque", "register_key_encoder"),
        (lambda: Oops("why"), "Oops", "plain value"),
        (lambda: re, "module", "plain value"),
        (lambda: list[int], "GenericAlias", "plain value"),
    ],
    ids=lambda given: given if isinstance(given, str) and " " not in given else "",
)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"deep": [x]}], ids=["alone", "deep"])
def test_the_error_names_function_argument_type_and_a_way_out(make, kind, way_out, wrap):
    with pytest.raises(UnkeyableArgument) as caught:
        two.get_cache_key("a", b=wrap(make()))
    message = str(caught.value)
    assert message.startswith(f"cache_result: argument 'b' of {__name__}.two ")
    assert f"<{kind}>" in message
    assert way_out in message.partition("; ")[2]


def test_the_error_of_an_open_file(tmp_path):
    with (tmp_path / "file").open("w") as file, pytest.raises(UnkeyableArgument, match="<TextIOWrapper>"):
        one.get_cache_key(file)


def test_the_error_of_a_coroutine():
    made = coroutine()
    with contextlib.closing(made), pytest.raises(UnkeyableArgument, match=r"argument 'value'.*<coroutine>"):
        one.get_cache_key(made)


def test_the_error_of_self_of_a_plain_class():
    with pytest.raises(UnkeyableArgument) as caught:
        Plain().method(1)
    message = str(caught.value)
    assert f"argument 'self' of {__name__}.Plain.method is or contains a <Plain>" in message
    assert "__cache_key__()" in message
    assert "ArgsKeyField" in message


class Kind(enum.Enum):
    A = 1


def test_the_error_of_a_local_class():
    local = enum.Enum("Local", "A")
    assert one.get_cache_key(Kind.A)
    with pytest.raises(UnkeyableArgument, match=r"argument 'value' of .*Local.*cannot be imported.*; pass"):
        one.get_cache_key(local.A)
