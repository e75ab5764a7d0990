"""Key fields: what of a call counts, and what does not."""

import dataclasses
import operator
import types

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from cache_result import (
    ABSENT,
    ArgsKeyField,
    CacheKeyField,
    ConstantKeyField,
    DjangoModelKeyField,
    DrfSerializerKeyField,
    QueryParamsKeyField,
    RequestValueKeyField,
    UnkeyableArgument,
    ViewKwargsKeyField,
)
from tests.app.models import City
from tests.keys.views import CitySerializer
from tests.keys.wrapping import Email, LowerCase, wrapped

get = RequestFactory().get


def function(a, b=2, *rest, c=3, **options):
    return None


def one(value):
    return None


# --- arguments


@pytest.mark.parametrize(
    ("arguments", "counted"),
    [
        ("a", "a"),
        (["a"], "a"),
        (["a", "c"], "ac"),
        (("b", "colour"), "b colour"),
        (iter(["b"]), "b"),
        ("rest", "rest"),
        ("options", "colour size"),
        ("*", "a b c colour size rest"),
        (["*"], "a b c colour size rest"),
    ],
    ids=["name", "list", "two", "tuple", "iterator", "*args", "**options", "*", "list of *"],
)
def test_named_arguments_count_and_no_others(arguments, counted):
    wrapper = wrapped(function, ArgsKeyField(arguments))
    key = wrapper.get_cache_key(1, 2, c=3, colour="red", size=4)
    others = {
        "a": wrapper.get_cache_key(9, 2, c=3, colour="red", size=4),
        "b": wrapper.get_cache_key(1, 9, c=3, colour="red", size=4),
        "c": wrapper.get_cache_key(1, 2, c=9, colour="red", size=4),
        "colour": wrapper.get_cache_key(1, 2, c=3, colour="blue", size=4),
        "size": wrapper.get_cache_key(1, 2, c=3, colour="red", size=9),
        "rest": wrapper.get_cache_key(1, 2, 9, c=3, colour="red", size=4),
    }
    assert {name for name, other in others.items() if other != key} == set(
        counted.split() if " " in counted or len(counted) > 2 else counted
    )


@pytest.mark.parametrize("arguments", ["a", ["a", "b", "c"], "*"])
def test_calls_that_bind_alike_have_one_key(arguments):
    wrapper = wrapped(function, ArgsKeyField(arguments))
    key = wrapper.get_cache_key(1)
    assert (
        wrapper.get_cache_key(a=1) == wrapper.get_cache_key(1, 2) == wrapper.get_cache_key(1, b=2, c=3) == key
    )


def test_the_order_of_keywords_does_not_count():
    wrapper = wrapped(function, ArgsKeyField("*"))
    assert wrapper.get_cache_key(1, x=1, y=2) == wrapper.get_cache_key(1, y=2, x=1)


def test_a_keyword_that_is_not_given_equals_no_value():
    wrapper = wrapped(function, ArgsKeyField("colour"))
    values = [None, "", "<absent>", "None", "absent", 0, False, (), {}, []]
    keys = {wrapper.get_cache_key(1, colour=value) for value in values}
    assert wrapper.get_cache_key(1) not in keys
    assert len(keys) == len(values)


def test_a_keyword_named_like_a_positional_only_parameter():
    def positional(a, /, **options):
        return None

    wrapper = wrapped(positional, ArgsKeyField("*"))
    calls = [wrapper.get_cache_key(1), wrapper.get_cache_key(1, a=1), wrapper.get_cache_key(1, a=2)]
    assert len(set(calls)) == 3
    of_a = wrapped(positional, ArgsKeyField("a"))
    assert of_a.get_cache_key(1, a=1) == of_a.get_cache_key(1, a=2) != of_a.get_cache_key(2, a=1)


def test_arguments_do_not_swap():
    wrapper = wrapped(lambda a=0, b=0: None, ArgsKeyField(["a", "b"]))
    assert wrapper.get_cache_key(1, 0) != wrapper.get_cache_key(0, 1)
    of_keywords = wrapped(lambda **options: None, ArgsKeyField(["a", "b"]))
    assert of_keywords.get_cache_key(a=1) != of_keywords.get_cache_key(b=1)


# --- paths


@dataclasses.dataclass
class Owner:
    name: object = "ada"
    tags: object = ("x", "y")

    @property
    def upper(self):
        return self.name.upper()


class Boom:
    @property
    def name(self):
        raise RuntimeError("no connection")


def found(path, value):
    """What `path` finds, as text."""
    (part,) = wrapped(one, ArgsKeyField("value", path=path)).explain_key(value).parts
    return part.values["value"]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("name", Owner(), "'ada'"),
        ("upper", Owner(), "'ADA'"),
        ("tags.1", Owner(), "'y'"),
        ("tags.1", Owner(tags=["x", "z"]), "'z'"),
        ("owner.name", {"owner": Owner()}, "'ada'"),
        ("0.owner.name", [{"owner": Owner()}], "'ada'"),
        ("items", {"items": 3}, "3"),
        ("keys", {"keys": {"a": 1}}, "{'a': 1}"),
        ("name", Owner(name=None), "None"),
        ("name", Owner(name=""), "''"),
    ],
)
def test_a_path_follows_attributes_keys_and_indexes(path, value, expected):
    assert found(path, value) == expected


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("pk", Owner()),
        ("name", None),
        ("name.first", Owner(name=None)),
        ("owner.name", {"owner": None}),
        ("owner.name", {}),
        ("tags.2", Owner()),
        ("tags.x", Owner()),
        ("name.0", Owner(name=5)),
        ("items", {}),
    ],
)
def test_what_a_path_does_not_find_is_absent(path, value):
    assert found(path, value) == "<absent>"


def test_absent_equals_no_value_that_is_there():
    wrapper = wrapped(one, ArgsKeyField("value", path="name"))
    values = [None, "", "<absent>", False, 0, ()]
    keys = {wrapper.get_cache_key(Owner(name=value)) for value in values}
    assert len(keys) == len(values)
    assert wrapper.get_cache_key(None) == wrapper.get_cache_key(3) not in keys


def test_two_values_with_an_equal_end_of_the_path_are_one():
    wrapper = wrapped(one, ArgsKeyField("value", path="name"))
    assert wrapper.get_cache_key(Owner()) == wrapper.get_cache_key({"name": "ada"})


def test_an_error_of_a_property_passes():
    with pytest.raises(RuntimeError, match="no connection"):
        found("name", Boom())


# --- normalizers


def test_a_normalizer_makes_calls_one():
    wrapper = wrapped(one, ArgsKeyField("value", normalizer=str.lower))
    assert wrapper.get_cache_key("DE") == wrapper.get_cache_key("de") != wrapper.get_cache_key("fr")


def test_a_value_that_the_normalizer_cannot_take_stays():
    wrapper = wrapped(one, ArgsKeyField("value", normalizer=int))
    assert wrapper.get_cache_key("5") == wrapper.get_cache_key(5)
    assert len({wrapper.get_cache_key(value) for value in ["x", "y", None, 5]}) == 4


def test_a_normalizer_gets_the_end_of_the_path():
    wrapper = wrapped(one, ArgsKeyField("value", path="name", normalizer=str.lower))
    assert wrapper.get_cache_key(Owner("ADA")) == wrapper.get_cache_key(Owner("ada"))


def test_a_normalizer_is_not_asked_about_what_is_not_there():
    wrapper = wrapped(lambda **options: None, ArgsKeyField("x", normalizer=lambda value: "given"))
    assert wrapper.get_cache_key() != wrapper.get_cache_key(x=1) == wrapper.get_cache_key(x=2)


def test_a_normalizer_makes_a_value_keyable():
    wrapper = wrapped(one, ArgsKeyField("value", normalizer=id))
    values = [object(), object()]
    assert wrapper.get_cache_key(values[0]) != wrapper.get_cache_key(values[1])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_normalizer_is_no_failed_one(error):
    def interrupted(value):
        raise error

    with pytest.raises(error):
        wrapped(one, ArgsKeyField("value", normalizer=interrupted)).get_cache_key(1)


def test_a_normalizer_that_must_not_run_here_is_no_failed_one():
    """Else the same call has one key under asyncio and another one elsewhere."""

    def queries(value):
        raise SynchronousOnlyOperation("not in a loop")

    # failed once: the raw value becomes the key
    with pytest.raises(SynchronousOnlyOperation):
        wrapped(one, ArgsKeyField("value", normalizer=queries)).get_cache_key(1)


# --- constants


def test_a_constant_is_the_same_for_every_call():
    wrapper = wrapped(one, ConstantKeyField("schema", 3))
    assert wrapper.get_cache_key(1) == wrapper.get_cache_key(2)


def test_constants_keep_their_key_and_type():
    constants = [("a", 1), ("b", 1), ("a", "1"), ("a", True), ("a", None), ("a", [1]), ("a", {"x": 1})]
    name = "constants"
    keys = {wrapped(one, ConstantKeyField(*c), name=name).get_cache_key(0) for c in constants}
    assert len(keys) == len(constants)


def test_a_constant_is_what_it_was_at_decoration():
    value = [1]
    wrapper = wrapped(one, ConstantKeyField("a", value))
    before = wrapper.get_cache_key(0)
    value.append(2)
    assert wrapper.get_cache_key(0) == before


# --- fields of the user's own


class Spy(CacheKeyField):
    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def get_key_payload(self, func, args, kwargs):
        self.seen.append((func, args, dict(kwargs)))
        kwargs.clear()
        return {"size": len(args)}


def test_an_own_field_gets_the_bound_call():
    spy = Spy()
    calls = [((1,), {}), ((), {"a": 1}), ((1, 2), {"c": 3})]
    wrapper = wrapped(function, spy)
    for args, kwargs in calls:
        wrapper.get_cache_key(*args, **kwargs)
    assert spy.seen == [(function, (1, 2), {"c": 3})] * 3
    wrapper.get_cache_key(1, 2, 8, 9, c=0, x=7)
    assert spy.seen[-1] == (function, (1, 2, 8, 9), {"c": 0, "x": 7})


def test_an_own_field_cannot_spoil_the_call():
    wrapper = wrapped(lambda a, **options: options, Spy())
    assert wrapper(1, colour="red") == {"colour": "red"}


def test_an_own_fields_payload_is_typed():
    class Payload(CacheKeyField):
        def get_key_payload(self, func, args, kwargs):
            return args[0]

    wrapper = wrapped(one, Payload())
    payloads = [
        {},
        {"a": 1},
        {"a": "1"},
        {"b": 1},
        {"a": None},
        {"a": ABSENT},
        {"a": 1, "b": 2},
        [1],
        "a",
        None,
    ]
    assert len({wrapper.get_cache_key(payload) for payload in payloads}) == len(payloads)
    assert wrapper.get_cache_key({"a": 1, "b": 2}) == wrapper.get_cache_key({"b": 2, "a": 1})


def test_an_own_fields_error_passes():
    error = LookupError("no tenant")

    class Failing(CacheKeyField):
        def get_key_payload(self, func, args, kwargs):
            raise error

    with pytest.raises(LookupError) as caught:
        wrapped(one, Failing()).get_cache_key(1)
    assert caught.value is error


@pytest.mark.parametrize("payload", [{"user": object()}, object(), {"query": City.objects.none()}])
def test_an_own_fields_payload_must_have_a_key(payload):
    class Payload(CacheKeyField):
        def get_key_payload(self, func, args, kwargs):
            return payload

    with pytest.raises(UnkeyableArgument, match=r"(?s)field.*\.one.*(object|QuerySet)"):
        wrapped(one, {"tenant": Payload()}).get_cache_key(1)


def test_an_own_field_extends_a_built_in_one():
    def defaulted(value="X"):
        return None

    wrapper = wrapped(defaulted, LowerCase("value"))
    assert wrapper.get_cache_key("x") == wrapper.get_cache_key() == wrapper.get_cache_key(value="X")
    assert wrapper.get_cache_key("y") != wrapper.get_cache_key("x")


def view(request, pk=None):
    return None


BUILT_IN = {
    "arguments": (ArgsKeyField, ["pk"]),
    "constant": (ConstantKeyField, ["k", 1]),
    "request": (RequestValueKeyField, ["path"]),
    "query": (QueryParamsKeyField, []),
    "view kwargs": (ViewKwargsKeyField, []),
    "model": (DjangoModelKeyField, [City]),
    "serializer": (DrfSerializerKeyField, [CitySerializer]),
}
KINDS = pytest.mark.parametrize(("cls", "arguments"), BUILT_IN.values(), ids=BUILT_IN)


@KINDS
def test_a_method_that_a_subclass_overrides_counts(cls, arguments):
    class Own(cls):
        def get_key_payload(self, func, args, kwargs):
            return super().get_key_payload(func, args, kwargs) | {"method": args[0].method}

    class Heir(Own):
        pass

    post = RequestFactory().post
    for field in (Own(*arguments), Heir(*arguments)):
        wrapper = wrapped(view, field)
        assert wrapper.get_cache_key(get("/"), 1) == wrapper.get_cache_key(get("/"), 1)
        assert wrapper.get_cache_key(get("/"), 1) != wrapper.get_cache_key(post("/"), 1)


@KINDS
def test_a_subclass_that_overrides_nothing_is_its_parent(cls, arguments):
    class Same(cls):
        pass

    name = "same"
    keys = {wrapped(view, c(*arguments), name=name).get_cache_key(get("/?a=1"), 1) for c in (cls, Same)}
    assert len(keys) == 1


# --- options of all fields


@KINDS
@pytest.mark.parametrize("option", ["partition", "hash_value", "sort_lists"])
@pytest.mark.parametrize("value", [1, "yes", None])
def test_options_are_true_or_false(cls, arguments, option, value):
    with pytest.raises(TypeError, match=rf"{cls.__name__}.*{option}"):
        cls(*arguments, **{option: value})


class Tags(CacheKeyField):
    def get_key_payload(self, func, args, kwargs):
        return {"tags": args[0]}


@pytest.mark.parametrize(
    ("make", "call"),
    [
        (lambda **options: ArgsKeyField("value", **options), lambda tags: tags),
        (lambda **options: ArgsKeyField("value", path="a", **options), lambda tags: {"a": {"b": tags}}),
        (lambda **options: Tags(**options), lambda tags: tags),
        (
            lambda **options: RequestValueKeyField("tags", request_arg="value", **options),
            lambda tags: types.SimpleNamespace(tags=tags),
        ),
        (
            lambda **options: QueryParamsKeyField(request_arg="value", **options),
            lambda tags: get("/", {"tag": tags}),
        ),
        (lambda **options: ViewKwargsKeyField("value", **options), lambda tags: tags),
    ],
    ids=["arguments", "path", "own", "request", "query", "view kwargs"],
)
def test_sorted_lists_are_equal_in_any_order(make, call):
    loose, strict = wrapped(one, make(sort_lists=True)), wrapped(one, make(sort_lists=False))
    assert loose.get_cache_key(call(["a", "b", "a"])) == loose.get_cache_key(call(["b", "a", "a"]))
    assert loose.get_cache_key(call(["a", "b", "a"])) != loose.get_cache_key(call(["a", "b"]))
    assert strict.get_cache_key(call(["a", "b"])) != strict.get_cache_key(call(["b", "a"]))


def test_sorted_lists_of_a_constant():
    keys = {
        wrapped(one, ConstantKeyField("k", tags, sort_lists=True), name="sorted").get_cache_key(0)
        for tags in (["a", "b"], ["b", "a"])
    }
    assert len(keys) == 1


def test_only_lists_are_sorted():
    wrapper = wrapped(one, ArgsKeyField("value", sort_lists=True))
    assert wrapper.get_cache_key((1, 2)) != wrapper.get_cache_key((2, 1))
    assert wrapper.get_cache_key([1, 2]) != wrapper.get_cache_key({1, 2})


PARTITIONS = {
    "arguments": (lambda **o: ArgsKeyField("value", **o), lambda text: text),
    "path": (lambda **o: ArgsKeyField("value", path="name", **o), lambda text: {"name": text}),
    "constant": (lambda **o: ConstantKeyField("k", "secret", **o), lambda text: text),
    "request": (
        lambda **o: RequestValueKeyField("x", request_arg="value", **o),
        lambda text: types.SimpleNamespace(x=text),
    ),
    "query": (lambda **o: QueryParamsKeyField(request_arg="value", **o), lambda text: get("/", {"q": text})),
    "view kwargs": (lambda **o: ViewKwargsKeyField(**o), lambda text: text),
    "own": (lambda **o: LowerCase("value", **o), lambda text: text),
}


@pytest.mark.parametrize(("make", "call"), PARTITIONS.values(), ids=PARTITIONS)
def test_a_partition_can_be_read_in_the_key_unless_it_is_hashed(make, call):
    shown = wrapped(one, make(partition=True)).get_cache_key(call("secret"))
    hidden = wrapped(one, make(partition=True, hash_value=True))
    assert "secret" in shown
    assert "secret" not in hidden.get_cache_key(call("secret"))
    assert hidden.get_cache_key(call("secret")).count(":") == shown.count(":")


@pytest.mark.parametrize(
    "text", ["a:b", "a b", "a\nb", "é" * 60, "*", "x" * 5000, "%s", "../..", "\x00", "\ud800"]
)
@pytest.mark.parametrize("kind", ["arguments", "query", "own"])
def test_a_partition_makes_a_key_that_memcached_takes(kind, text):
    if kind == "query" and text == "\ud800":
        text = "%ED%A0%80"
    make, call = PARTITIONS[kind]
    key = wrapped(one, make(partition=True)).get_cache_key(call(text))
    assert len(key) <= 200
    assert key.isascii()
    assert key.isprintable()
    assert " " not in key


class Given(CacheKeyField):
    """The keywords of a call."""

    def get_key_payload(self, func, args, kwargs):
        return dict(kwargs)


def test_the_readable_part_of_equal_payloads_is_the_same():
    wrapper = wrapped(lambda **options: None, Given(partition=True))
    # failed once: the text follows the order of the dict, so that equal calls have two entries
    assert wrapper.get_cache_key(a=1, b=2) == wrapper.get_cache_key(b=2, a=1)


def test_the_readable_part_of_a_value_with_a_key_of_its_own():
    wrapper = wrapped(one, ArgsKeyField("value", partition=True))
    # failed once: the text is the value's own, so that equal calls have two entries
    assert wrapper.get_cache_key(Email("Ada@x.org")) == wrapper.get_cache_key(Email("ada@x.org"))


# --- payloads and keys agree


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, 1.0, -0.0])
    | st.sampled_from(["", "1", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
CALLS = st.tuples(
    st.lists(VALUES, min_size=1, max_size=4), st.dictionaries(st.sampled_from(["b", "c", "x"]), VALUES)
).filter(lambda call: len(call[0]) < 2 or "b" not in call[1])
FIELDS = [
    ArgsKeyField("*"),
    ArgsKeyField(["a", "x"]),
    ArgsKeyField("rest"),
    ArgsKeyField(["a", "b"], path="a"),
    ArgsKeyField("x", path="0", normalizer=operator.itemgetter("a")),
    ViewKwargsKeyField(),
]
WRAPPERS = [(field, wrapped(function, field)) for field in FIELDS]


def text_of(payload):
    """Text that is equal for equal payloads: `1 == True`, but their texts differ."""
    if isinstance(payload, dict):
        return "{" + ",".join(sorted(f"{key!r}:{text_of(value)}" for key, value in payload.items())) + "}"
    if isinstance(payload, list):
        return "[" + ",".join(map(text_of, payload)) + "]"
    return repr(payload)


@given(CALLS, CALLS)
def test_two_calls_contribute_equal_payloads_exactly_if_their_keys_are_equal(one_call, other_call):
    for field, wrapper in WRAPPERS:
        texts, keys = set(), set()
        for args, kwargs in (one_call, other_call):
            args = (*args, *[2][len(args) - 1 + ("b" in kwargs) :])  # the default of b
            texts.add(text_of(field.get_key_payload(function, args, {"c": 3, **kwargs})))
            keys.add(wrapper.get_cache_key(*args, **kwargs))
        # failed once, for one cause: a payload leaves out a keyword that is not given, instead of ABSENT
        assert len(texts) == len(keys)


QUERIES = st.lists(
    st.tuples(st.sampled_from(["a", "b", "a:b"]), st.sampled_from(["", "1", "2", "b:1"])), max_size=4
)
QUERY_FIELDS = [
    QueryParamsKeyField(sort_lists=False),
    QueryParamsKeyField(["a", "z"], sort_lists=False),
    RequestValueKeyField("GET.a"),
]
QUERY_WRAPPERS = [(field, wrapped(view, field)) for field in QUERY_FIELDS]


@given(QUERIES, QUERIES)
def test_two_requests_contribute_equal_payloads_exactly_if_their_keys_are_equal(one_query, other_query):
    requests = []
    for query in (one_query, other_query):
        request = get("/")
        request.GET = request.GET.copy()
        for name, value in query:
            request.GET.appendlist(name, value)
        requests.append(request)
    for field, wrapper in QUERY_WRAPPERS:
        texts = {text_of(field.get_key_payload(view, (request,), {})) for request in requests}
        assert len(texts) == len({wrapper.get_cache_key(request) for request in requests})


def test_a_payload_names_what_is_absent():
    assert ArgsKeyField("value", path="pk").get_key_payload(one, (1,), {}) == {"value": ABSENT}
    assert RequestValueKeyField("user").get_key_payload(view, (None,), {}) == {"user": ABSENT}
    assert QueryParamsKeyField("q").get_key_payload(view, (get("/"),), {}) == {"q": ABSENT}
    # failed once: {}
    assert ArgsKeyField("colour").get_key_payload(function, (1,), {}) == {"colour": ABSENT}


# --- wrong use


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ArgsKeyField(3), TypeError, "ArgsKeyField.*3.*name"),
        (lambda: ArgsKeyField(None), TypeError, "ArgsKeyField.*name"),
        (lambda: ArgsKeyField(b"x"), TypeError, "ArgsKeyField.*name"),
        (lambda: ArgsKeyField([]), TypeError, "ArgsKeyField.*name"),
        (lambda: ArgsKeyField(""), TypeError, "ArgsKeyField.*name"),
        (lambda: ArgsKeyField(["a", 3]), TypeError, "ArgsKeyField.*name"),
        (lambda: ArgsKeyField(["a", "b", "a"]), ValueError, "ArgsKeyField.* a twice"),
        (lambda: ArgsKeyField("a", path=3), TypeError, "ArgsKeyField.*path"),
        (lambda: ArgsKeyField("a", path=["b"]), TypeError, "ArgsKeyField.*path"),
        (lambda: ArgsKeyField("a", path=""), ValueError, "ArgsKeyField.*path"),
        (lambda: ArgsKeyField("a", path="b..c"), ValueError, "ArgsKeyField.*path"),
        (lambda: ArgsKeyField("a", path=".b"), ValueError, "ArgsKeyField.*path"),
        (lambda: ArgsKeyField("a", normalizer="lower"), TypeError, "ArgsKeyField.*normalizer.*function"),
        (lambda: ViewKwargsKeyField(["a", "a"]), ValueError, "ViewKwargsKeyField.* a twice"),
        (lambda: ConstantKeyField(3, 4), TypeError, "ConstantKeyField.*key"),
        (lambda: RequestValueKeyField(3), TypeError, "RequestValueKeyField.*path"),
        (lambda: RequestValueKeyField("user."), ValueError, "RequestValueKeyField.*path"),
        (
            lambda: RequestValueKeyField("user", request_arg=""),
            TypeError,
            "RequestValueKeyField.*request_arg",
        ),
        (lambda: RequestValueKeyField("user", request_arg=3), TypeError, "RequestValueKeyField.*request_arg"),
        (
            lambda: RequestValueKeyField("user", view_self_request_fallback=1),
            TypeError,
            "RequestValueKeyField.*view_self_request_fallback",
        ),
        (lambda: QueryParamsKeyField(3), TypeError, "QueryParamsKeyField.*query parameter"),
        (lambda: QueryParamsKeyField(["page", "page"]), ValueError, "QueryParamsKeyField.*page twice"),
        (lambda: DjangoModelKeyField(3), ValueError, "Invalid model class.*3"),
        (lambda: DjangoModelKeyField(Owner), ValueError, "Invalid model class"),
        (lambda: DrfSerializerKeyField(3), ValueError, "Failed to initialize serializer class"),
    ],
)
def test_wrong_options(make, error, message):
    with pytest.raises(error, match=message):
        make()


async def anormalizer(value):
    return value


def test_an_async_normalizer():
    with pytest.raises(TypeError, match=r"normalizer.*plain function"):
        ArgsKeyField("a", normalizer=anormalizer)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (ArgsKeyField("b"), r"ArgsKeyField.*'b'.*\.one; it has value"),
        (ArgsKeyField(["value", "b"]), r"ArgsKeyField.*'b'.*\.one; it has value"),
        (ViewKwargsKeyField("pk"), r"ViewKwargsKeyField.*'pk'.*\.one; it has value"),
        (RequestValueKeyField("user.pk"), r"RequestValueKeyField.*\.one.*value.*request_arg="),
        (QueryParamsKeyField("page"), r"QueryParamsKeyField.*\.one.*value.*request_arg="),
        (QueryParamsKeyField(request_arg="req"), r"QueryParamsKeyField.*\.one.*'req'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_field_about_what_the_function_cannot_have(field, message):
    with pytest.raises(ValueError, match=rf"(?s)cache_result: {message}"):
        wrapped(one, field)


def test_a_request_field_on_a_function_without_arguments():
    with pytest.raises(ValueError, match=r"(?s)lambda.*its arguments are none"):
        wrapped(lambda: None, QueryParamsKeyField())


def test_a_constant_without_a_key():
    # failed once: neither the value's type, nor the function, nor a way out
    with pytest.raises(TypeError, match=r"(?s)schema.*object.*__cache_key__"):
        wrapped(one, {"schema": ConstantKeyField("k", object())})


def test_a_field_without_a_payload():
    class Unfinished(CacheKeyField):
        pass

    # failed once: found out at the first call
    with pytest.raises(TypeError, match=r"Unfinished.*get_key_payload"):
        wrapped(one, Unfinished())
