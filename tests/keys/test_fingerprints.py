"""A key sees every change of a model's or of a serializer's shape, and nothing else.

Descriptions are compared as text, since ``1 == True == 1.0`` and keys are typed. No test asks for a
database, so any query would be an error.
"""

import copy
import enum
import functools
import hashlib
import os
import re
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django import VERSION
from django.apps import apps
from django.apps.registry import Apps
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.core.exceptions import ImproperlyConfigured
from django.core.validators import MinLengthValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.test import override_settings
from django.utils.deconstruct import deconstructible
from django.utils.functional import SimpleLazyObject
from django.utils.translation import get_language, gettext, gettext_lazy, override, pgettext_lazy, trans_real
from rest_framework import serializers

from cache_result.keys.fingerprints import describe_model, describe_serializer
from tests.app.models import Article, Author, City, Country, Currency, Restaurant, Writer

# --- what is described


class OptionField(models.CharField):
    """A third party's field with an option that only it knows."""

    def __init__(self, *args, option=None, **kwargs):
        self.option = option
        super().__init__(*args, **kwargs)

    def deconstruct(self):
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, {**kwargs, "option": self.option}


class ForgetfulField(models.CharField):
    """One that hides its options from migrations."""

    def deconstruct(self):
        return (*super().deconstruct()[:3], {})


class TranslatedField(models.CharField):
    """One whose choices are in the reader's language."""

    choices = property(lambda self: [("mon", gettext("Monday"))], lambda self, value: None)


class Opaque:
    """Nobody knows how to describe it."""

    def method(self): ...


class Peculiar:
    """Its deconstruct() is not what Django means by it."""

    def deconstruct(self, tool): ...


@deconstructible
class Unit:
    def __init__(self, name, *, factor=1): ...


class Status(models.TextChoices):
    OPEN = "o", gettext_lazy("Open")
    CLOSED = "c", "Closed"


Labelled = models.TextChoices("Status", {"OPEN": ("o", "Other"), "CLOSED": ("c", "Closed")}, module=__name__)


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


Levels = enum.Enum("Level", {"LOW": 3, "MEDIUM": 1}, module=__name__)


def one(): ...


def other(): ...


def make_model(
    name="Order", bases=(models.Model,), registry=None, meta=(), module="shop.models", **attributes
):
    """A model of the app `shop`, in a registry of its own."""
    options = {"app_label": "shop", "apps": registry or Apps(), **dict(meta)}
    attributes = copy.deepcopy(attributes)
    return type(name, bases, {"__module__": module, "Meta": type("Meta", (), options), **attributes})


def make_serializer(name="OrderSerializer", base=serializers.Serializer, **attributes):
    return type(name, (base,), {"__module__": "shop.serializers", **attributes})


def make_model_serializer(model, base=serializers.ModelSerializer, **meta):
    options = {"model": model, "fields": "__all__", **meta}
    return make_serializer(f"{model.__name__}Serializer", base, Meta=type("Meta", (), options))


def digest(described):
    return hashlib.blake2b(repr(described).encode(), digest_size=16).hexdigest()


def model_digest(field):
    return digest(describe_model(make_model(field=field)))


def serializer_digest(field):
    return digest(describe_serializer(make_serializer(field=field)))


def changes(table):
    """Parametrises with rows of a name and two versions."""
    return pytest.mark.parametrize(
        ("before", "after"), [row[1:] for row in table], ids=[row[0] for row in table]
    )


# --- every kind of value that an option may have


# fmt: off
def option_values():
    """Different values, made anew each time."""
    return [
        None, False, True, 0, 1, 0.0, 1.0, -1, 10**30, float("nan"), 1j, 2j, "0", b"0", "", "12",
        Decimal("0"), Decimal("0.0"), UUID(int=0), UUID(int=1), PurePath("0"), PurePath("1"),
        date(2020, 1, 2), datetime(2020, 1, 2), time(1), time(2), timedelta(1), timedelta(2),
        ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo"), re.compile("a"), re.compile("b"), re.compile(b"a"),
        re.compile("a", re.IGNORECASE), range(2), range(3), (), [1, 2], [2, 1], [[1], 2], ["sequence"],
        ("Decimal", "0"), {}, {1: 2}, {2: 1}, {1: 1, 2: 2}, {2: 2, 1: 1}, set(), {1, 2}, {"1", 2},
        {*"abcdef"}, {*"abcde"}, Status.OPEN, Status.CLOSED, Labelled.OPEN, *Level, *Levels,
        Status, Labelled, Level, Levels, Opaque, Opaque(), Peculiar(), Unit("a"), Unit("b"),
        Unit("a", factor=2), gettext_lazy("Open"), gettext_lazy("Monday"), pgettext_lazy("door", "Open"),
        one, other, len, str.lower, date.today, Unit.__init__, functools.partial(one),
        functools.partial(one, 1), functools.partial(one, a=1), Author, City, Author(), City(),
        Author.objects, City.objects.all(), F("a"), F("b"), F("a") + 1, Lower("a"), Q(a=1), Q(a=2),
        models.CharField(max_length=1), models.CharField(max_length=2), models.TextField(),
        serializers.DateField(), serializers.DateField(format="%Y"), serializers.DateField,
    ]


ALIKE = [
    ("kinds of sequence", [1, (2,)], (1, [2])),
    ("order of a set", {"a", "b", "c", 1}, {1, "c", "b", "a"}),
    ("kinds of set", frozenset({1}), {1}),
    ("keys", {1: 2}.keys(), [1]),
    ("filters", City.objects.filter(name="a"), City.objects.order_by("name")),
    ("queryset and manager", City.objects.all(), City.objects),
    ("unknown objects", Opaque(), Opaque()),
    ("methods", Opaque().method, Opaque().method),
    ("functions without a name", lambda: 1, lambda: 1),
    ("kinds of text", type("Text", (str,), {"__str__": lambda self: "else"})("a"), "a"),
    ("kinds of number", type("Number", (int,), {})(1), 1),
    ("texts of a field within", models.CharField(), models.CharField(help_text="Help")),
    ("lazy objects", SimpleLazyObject(lambda: pytest.fail("evaluated")), SimpleLazyObject(Opaque)),
]
# fmt: on


def test_different_option_values_differ():
    digests = [model_digest(OptionField(option=option)) for option in option_values()]
    assert len(set(digests)) == len(digests)


def test_equal_option_values_do_not_differ():
    for left, right in zip(option_values(), option_values(), strict=True):
        assert describe_model(make_model(field=OptionField(option=left))) == describe_model(
            make_model(field=OptionField(option=right))
        )


@changes(ALIKE)
def test_alike_option_values_do_not_differ(before, after):
    assert model_digest(OptionField(option=before)) == model_digest(OptionField(option=after))


def test_descriptions_consist_of_plain_values():
    def check(value):
        assert type(value) in {tuple, str, int, float, bool, bytes, type(None)}, value
        for part in value if type(value) is tuple else ():
            check(part)

    for option in option_values():
        check(describe_model(make_model(field=OptionField(option=option, default=option))))
        check(describe_serializer(make_serializer(field=serializers.CharField(source="x", default=option))))
    for _, option, _ in ALIKE:
        check(describe_model(make_model(field=OptionField(option=option))))
    for model in (Article, Writer, Restaurant):
        check(describe_model(model))
        check(describe_serializer(make_model_serializer(model, depth=2)))


# --- models

text = functools.partial(models.CharField, max_length=9)
number = functools.partial(models.DecimalField, max_digits=9, decimal_places=2)
link = functools.partial(models.ForeignKey, on_delete=models.CASCADE, related_name="+")
unique_link = functools.partial(models.OneToOneField, on_delete=models.CASCADE, related_name="+")
links = functools.partial(models.ManyToManyField, related_name="+")
through = functools.partial(links, "shop.A", through="shop.B")

# fmt: off
MODEL_FIELD_CHANGES = [
    ("class", text(), models.SlugField(max_length=9)),
    ("class behind the path of another", text(), OptionField(max_length=9)),
    ("null", text(), text(null=True)),
    ("blank", text(), text(blank=True)),
    ("primary key", models.IntegerField(), models.IntegerField(primary_key=True)),
    ("max_length", text(), text(max_length=8)),
    ("hidden null", ForgetfulField(), ForgetfulField(null=True)),
    ("hidden primary key", *(OptionField(option=ForgetfulField(primary_key=key)) for key in (False, True))),
    ("hidden max_length", ForgetfulField(max_length=9), ForgetfulField(max_length=8)),
    ("hidden choices", ForgetfulField(choices=[(1, "a")]), ForgetfulField(choices=[(1, "b")])),
    ("max_digits", number(), number(max_digits=8)),
    ("decimal_places", number(), number(decimal_places=1)),
    ("auto_now", models.DateField(), models.DateField(auto_now=True)),
    ("editable", text(), text(editable=False)),
    ("column", text(), text(db_column="other")),
    ("default", text(), text(default="")),
    ("value of the default", text(default="a"), text(default="b")),
    ("type of the default", models.JSONField(default=1), models.JSONField(default=True)),
    ("function of the default", text(default=one), text(default=other)),
    ("choices", text(), text(choices=[("a", "A")])),
    ("value of a choice", text(choices=[("a", "A")]), text(choices=[("b", "A")])),
    ("label of a choice", text(choices=[("a", "A")]), text(choices=[("a", "B")])),
    ("order of choices", text(choices=[(1, 1), (2, 2)]), text(choices=[(2, 2), (1, 1)])),
    ("group", text(choices=[("a", "A")]), text(choices=[("group", [("a", "A")])])),
    ("name of a group", text(choices=[("1", [("a", "A")])]), text(choices=[("2", [("a", "A")])])),
    ("choice in a group", text(choices=[("1", [("a", "A")])]), text(choices=[("1", [("a", "B")])])),
    ("lazy label", text(choices=[(1, gettext_lazy("a"))]), text(choices=[(1, gettext_lazy("b"))])),
    ("enumeration", text(choices=Status.choices), text(choices=Status.choices[:1])),
    ("target", link("shop.A"), link("shop.B")),
    ("app of the target", link("shop.A"), link("store.A")),
    ("target itself", link("self"), link("A")),
    ("to_field", link("shop.A"), link("shop.A", to_field="code")),
    ("one to one", link("shop.A"), unique_link("shop.A")),
    ("one or many", link("shop.A"), links("shop.A")),
    ("target of many", links("shop.A"), links("shop.B")),
    ("through", links("shop.A"), through()),
    ("through what", through(), through(through="shop.C")),
    ("through_fields", through(through_fields=("a", "b")), through(through_fields=("a", "c"))),
    ("symmetrical", links("self"), links("self", symmetrical=False)),
    ("kind of a generic key", GenericForeignKey("kind", "key"), GenericForeignKey("other", "key")),
    ("key of a generic key", GenericForeignKey("kind", "key"), GenericForeignKey("kind", "other")),
    ("proxies in a generic key", GenericForeignKey(), GenericForeignKey(for_concrete_model=False)),
    ("target of a generic relation", GenericRelation("shop.A"), GenericRelation("shop.B")),
    ("key of it", GenericRelation("shop.A"), GenericRelation("shop.A", object_id_field="key")),
    ("kind of it", GenericRelation("shop.A"), GenericRelation("shop.A", content_type_field="kind")),
    ("upload_to", models.FileField(upload_to="a"), models.FileField(upload_to="b")),
    ("encoder", models.JSONField(), models.JSONField(encoder=Opaque)),
    ("option", OptionField(option=1), OptionField(option=2)),
    ("option of a field within", OptionField(option=text()), OptionField(option=text(null=True))),
]
MODEL_CHANGES = [
    ("name", {}, {"name": "Invoice"}),
    ("app", {}, {"meta": {"app_label": "store"}}),
    ("module", {}, {"module": "shop.orders"}),
    ("name of a field", {"a": text()}, {"b": text()}),
    ("one more field", {"a": text()}, {"a": text(), "b": text()}),
    ("ordering", {}, {"meta": {"ordering": ["id"]}}),
    ("direction", {"meta": {"ordering": ["id"]}}, {"meta": {"ordering": ["-id"]}}),
    ("ordering by", {"meta": {"ordering": [F("id").asc()]}}, {"meta": {"ordering": [F("id").desc()]}}),
]
SAME_MODEL_FIELDS = [
    ("help_text", text(), text(help_text="Help")),
    ("verbose_name", text(), text(verbose_name="Name")),
    ("error_messages", text(), text(error_messages={"blank": "!"})),
    ("validators", text(), text(validators=[MinLengthValidator(1, message="!")])),
    ("index", text(), text(db_index=True)),
    ("tablespace", text(), text(db_tablespace="space")),
    ("comment", text(), text(db_comment="Comment")),
    ("default of the database", text(), text(**({"db_default": "a"} if VERSION >= (5, 0) else {}))),
    ("on_delete", link("shop.A"), link("shop.A", on_delete=models.PROTECT)),
    ("related_name", link("shop.A"), link("shop.A", related_name="backwards")),
    ("related_query_name", link("shop.A"), link("shop.A", related_query_name="backwards")),
    ("limit_choices_to", link("shop.A"), link("shop.A", limit_choices_to={"a": 1})),
    ("constraint", link("shop.A"), link("shop.A", db_constraint=False)),
    ("table of links", links("shop.A"), links("shop.A", db_table="links")),
    ("case of the target", link("shop.A"), link("shop.a")),
    ("own app", link("shop.A"), link("A")),
    ("own label", link("shop.Order"), link("self")),
    ("through in the own app", through(), through(through="b")),
    ("kind of sequence", text(choices=[("a", "A")]), text(choices=(["a", "A"],))),
    ("order of options", text(null=True, default=""), text(default="", null=True)),
    ("today", models.DateField(default=date(2020, 1, 1)), models.DateField(default=date(2020, 1, 2))),
    ("new id", models.UUIDField(default=UUID(int=1)), models.UUIDField(default=UUID(int=2))),
    ("default without a name", text(default=Opaque().method), text(default=Opaque().method)),
]
# fmt: on


@changes(MODEL_FIELD_CHANGES)
def test_a_change_of_a_model_field_is_seen(before, after):
    assert model_digest(before) != model_digest(after)


@changes(MODEL_CHANGES)
def test_a_change_of_a_model_is_seen(before, after):
    assert digest(describe_model(make_model(**before))) != digest(describe_model(make_model(**after)))


@changes(SAME_MODEL_FIELDS)
def test_what_is_no_change_of_a_model_field(before, after):
    assert model_digest(before) == model_digest(after)


def test_the_order_of_model_fields_is_seen():
    first, second, third = text(), text(), text()
    before, after = make_model(a=first, b=second), make_model(a=third, b=second)
    assert digest(describe_model(before)) != digest(describe_model(after))


@pytest.mark.parametrize("abstract", [True, False])
def test_inherited_fields_are_seen(abstract):
    def child(**fields):
        registry = Apps()
        base = make_model("Base", registry=registry, meta={"abstract": abstract}, **fields)
        return digest(describe_model(make_model(bases=(base,), registry=registry)))

    assert len({child(), child(a=text()), child(a=text(null=True))}) == 3
    assert child(a=GenericForeignKey("a")) != child(a=GenericForeignKey("b"))
    assert child(a=links("shop.A")) != child(a=links("shop.B"))


def test_a_proxy_is_seen():
    bases = [make_model(name, a=text()) for name in ("Base", "Other")]
    proxies = [make_model(bases=(base,), meta={"proxy": True}) for base in bases]
    assert digest(describe_model(proxies[0])) != digest(describe_model(proxies[1]))
    assert describe_model(Writer)[3:] != describe_model(Author)[3:]


def test_a_relation_is_described_alike_before_and_after_its_target_is_known():
    registry = Apps()
    unknown = {"a": link("shop.Target"), "b": link("Target", to_field="code"), "c": link("self")}
    unknown |= {
        "d": links("shop.target"),
        "e": links("target", through="Link"),
        "f": GenericRelation("Target"),
    }
    order = make_model(registry=registry, **unknown)
    before = describe_model(order)
    target = make_model("Target", registry=registry, code=models.IntegerField(unique=True), object_id=text())
    make_model("Link", registry=registry, a=link("Order"), b=link("Target"))
    assert order._meta.get_field("a").remote_field.model is target
    assert order._meta.get_field("f").related_fields
    assert describe_model(order) == before
    known = {"a": link(target), "b": link(target, to_field="code"), "c": link("shop.order")}
    known |= {"d": links(target), "e": links(target, through="shop.Link"), "f": GenericRelation(target)}
    assert describe_model(make_model(**known)) == before


def test_reverse_relations_are_not_described():
    app = {"registry": Apps(["tests.app"]), "meta": {"app_label": "app"}}
    target = make_model("Target", **app)
    before = describe_model(target)
    make_model(
        "One", a=models.ForeignKey(target, models.CASCADE), b=models.ManyToManyField(target, "+"), **app
    )
    make_model("Two", a=models.OneToOneField(target, models.CASCADE), **app)
    assert {field.name for field in target._meta.get_fields()} == {"id", "one", "two"}
    assert describe_model(target) == before


def test_a_model_can_be_described_while_others_are_being_imported(monkeypatch):
    order = make_model(a=link("shop.NotImportedYet"), b=text(choices=[("a", gettext_lazy("A"))]))
    expected = describe_model(order)
    for flag in ("ready", "models_ready", "apps_ready"):
        monkeypatch.setattr(apps, flag, False)
        monkeypatch.setattr(trans_real, "_translations", {})
        for remembered in (apps.get_models, apps.get_swappable_settings_name):
            remembered.cache_clear()
        assert describe_model(order) == expected


@pytest.mark.parametrize("value", [None, 1, "app.Author", models.Model, str, Opaque])
def test_what_is_no_model_class(value):
    with pytest.raises(ValueError, match=re.escape(f"Invalid model class: {value!r}")):
        describe_model(value)


# --- serializers

chars, many, choice = serializers.CharField, serializers.ListField, serializers.ChoiceField
choices_of = functools.partial(serializers.MultipleChoiceField, choices=["a"])
decimal = functools.partial(serializers.DecimalField, max_digits=9, decimal_places=2)
day, moment = serializers.DateField, serializers.DateTimeField
slug = functools.partial(serializers.SlugRelatedField, slug_field="a")
key = serializers.PrimaryKeyRelatedField
url = functools.partial(serializers.HyperlinkedRelatedField, read_only=True)


class Loud(chars):
    def to_representation(self, value):
        return super().to_representation(value).upper()


class OwnField(serializers.ReadOnlyField):
    """A third party's field with options that only it knows."""

    def __init__(self, option, *, other=None, **kwargs):
        super().__init__(**kwargs)


class OwnChoice(choice):
    """It gives itself what its parent is given."""

    names = ""

    def __init__(self):
        super().__init__(choices=[*self.names])

    @classmethod
    def of(cls, names):
        return type("OwnChoice", (cls,), {"names": names})


class Nested(serializers.Serializer):
    a = chars()


class NestedOther(serializers.Serializer):
    a = chars(source="b")


class Dynamic(serializers.Serializer):
    """It has the fields that it is asked for."""

    a, b = chars(), chars()

    def __init__(self, *args, only=("a", "b"), **kwargs):
        self.only = only
        super().__init__(*args, **kwargs)

    def get_fields(self):
        fields = super().get_fields()
        return {name: fields[name] for name in self.only}


def nest(**fields):
    return make_serializer(**fields)()


def meta(**options):
    return {"Meta": type("Meta", (), options)}


# fmt: off
SERIALIZER_FIELD_CHANGES = [
    ("class", chars(), serializers.SlugField()),
    ("what its class writes", type("F", (chars,), {})(), type("F", (Loud,), {})()),
    ("source", chars(), chars(source="other")),
    ("read_only", chars(), chars(read_only=True)),
    ("write_only", chars(), chars(write_only=True)),
    ("required", chars(), chars(required=False)),
    ("allow_null", chars(), chars(allow_null=True)),
    ("allow_blank", chars(), chars(allow_blank=True)),
    ("max_length", chars(max_length=1), chars(max_length=2)),
    ("default", chars(required=False), chars(default="")),
    ("value of the default", chars(default="a"), chars(default="b")),
    ("function of the default", chars(default=one), chars(default=other)),
    ("max_digits", decimal(), decimal(max_digits=8)),
    ("decimal_places", decimal(), decimal(decimal_places=3)),
    ("coerce_to_string", decimal(), decimal(coerce_to_string=False)),
    ("localize", decimal(), decimal(localize=True)),
    ("format", day(), day(format="%Y")),
    ("no format", moment(), moment(format=None)),
    ("format of the class", type("F", (day,), {"format": "%Y"})(), type("F", (day,), {"format": "%m"})()),
    ("set by the class", type("F", (chars,), {"source": 1})(), type("F", (chars,), {"use_url": 2})()),
    ("zone", moment(default_timezone=ZoneInfo("UTC")), moment(default_timezone=ZoneInfo("Asia/Tokyo"))),
    ("format of a UUID", serializers.UUIDField(), serializers.UUIDField(format="hex")),
    ("regex", serializers.RegexField("a"), serializers.RegexField("b")),
    ("value of a choice", choice([("a", "A")]), choice([("b", "A")])),
    ("label of a choice", choice([("a", "A")]), choice([("a", "B")])),
    ("order of choices", choice(["a", "b"]), choice(["b", "a"])),
    ("choices of the class", *(OwnChoice.of(names)() for names in ("ab", "ba"))),
    ("group of choices", choice([("g", [("a", "A")])]), choice([("h", [("a", "A")])])),
    ("many choices", choice(["a"]), choices_of()),
    ("empty choice", choices_of(), choices_of(allow_empty=False)),
    ("child", many(child=chars()), many(child=serializers.IntegerField())),
    ("option of a child", many(child=chars()), many(child=chars(allow_null=True))),
    ("child of a child", many(child=many(child=chars())), many(child=many(child=Loud()))),
    ("child of a dict", serializers.DictField(child=chars()), serializers.DictField(child=Loud())),
    ("method", serializers.SerializerMethodField(), serializers.SerializerMethodField("get_other")),
    ("hidden", serializers.HiddenField(default=1), serializers.HiddenField(default=2)),
    ("slug_field", slug(read_only=True), slug(slug_field="b", read_only=True)),
    ("queryset", slug(queryset=Author.objects), slug(queryset=City.objects.all())),
    ("many related", slug(queryset=City.objects), slug(queryset=City.objects, many=True)),
    ("child of many related", key(read_only=True, many=True), slug(read_only=True, many=True)),
    ("pk_field", key(read_only=True), key(read_only=True, pk_field=serializers.UUIDField(format="hex"))),
    ("view_name", url("a"), url("b")),
    ("lookup_field", url("a"), url("a", lookup_field="code")),
    ("model field", serializers.ModelField(text()), serializers.ModelField(text(null=True))),
    ("option", OwnField(1), OwnField(2)),
    ("option by name", OwnField(1, other=[1]), OwnField(1, other=[2])),
    ("option that is a field", OwnField(chars()), OwnField(Loud())),
    ("nested or not", chars(), Nested()),
    ("nested many", Nested(), Nested(many=True)),
    ("nested class", Nested(), NestedOther()),
    ("nested field", nest(a=chars()), nest(a=Loud())),
    ("field of nested many", make_serializer(a=chars())(many=True), make_serializer(b=chars())(many=True)),
    ("fields of a dynamic one", Dynamic(), Dynamic(only=["a"])),
    ("nested in a list", many(child=nest(a=chars())), many(child=nest(a=Loud()))),
    ("nested in an option", OwnField(nest(a=chars())), OwnField(nest(a=Loud()))),
    ("nested twice", nest(a=nest(a=nest(a=chars()))), nest(a=nest(a=nest(a=Loud())))),
]
SERIALIZER_CHANGES = [
    ("name", {}, {"name": "InvoiceSerializer"}),
    ("name of a field", {"a": chars()}, {"b": chars()}),
    ("name without a source", {"a": chars(source="x")}, {"b": chars(source="x")}),
    ("one more field", {"a": chars()}, {"a": chars(), "b": chars()}),
    ("what it writes", {}, {"to_representation": Loud.to_representation}),
    ("model", meta(model=Author), meta(model=City)),
    ("app of the model", *(meta(model=make_model(meta={"app_label": app})) for app in ("shop", "store"))),
    ("list class", {}, meta(list_serializer_class=serializers.ListSerializer)),
    ("child", *({"base": serializers.ListSerializer, "child": child()} for child in (Nested, NestedOther))),
    ("name of one without fields", *({"name": name, "base": serializers.BaseSerializer} for name in "AB")),
]
SAME_SERIALIZER_FIELDS = [
    ("label", chars(), chars(label="Label")),
    ("help_text", chars(), chars(help_text="Help")),
    ("style", chars(), chars(style={"rows": 3})),
    ("error_messages", chars(), chars(error_messages={"blank": "!"})),
    ("validators", chars(), chars(validators=[MinLengthValidator(1)])),
    ("limits", serializers.IntegerField(), serializers.IntegerField(min_value=1, max_value=2)),
    ("cutoff", choice(["a"]), choice(["a"], html_cutoff=3, html_cutoff_text="more")),
    ("label of a child", many(child=chars()), many(child=chars(label="Label"))),
    ("label of many", slug(read_only=True, many=True), slug(read_only=True, many=True, label="Label")),
    ("label of a nested one", Nested(), Nested(label="Label")),
    ("order of options", chars(source="x", allow_null=True), chars(allow_null=True, source="x")),
    ("today", day(default=date(2020, 1, 1)), day(default=date(2020, 1, 2))),
    ("today at first", day(initial=date(2020, 1, 1)), day(initial=date(2020, 1, 2))),
    ("filter", key(queryset=City.objects.all()), key(queryset=City.objects.filter(name="x"))),
]
# fmt: on


@changes(SERIALIZER_FIELD_CHANGES)
def test_a_change_of_a_serializer_field_is_seen(before, after):
    assert serializer_digest(before) != serializer_digest(after)


@changes(SERIALIZER_CHANGES)
def test_a_change_of_a_serializer_is_seen(before, after):
    before, after = (describe_serializer(make_serializer(**version)) for version in (before, after))
    assert digest(before) != digest(after)


@changes(SAME_SERIALIZER_FIELDS)
def test_what_is_no_change_of_a_serializer_field(before, after):
    assert serializer_digest(before) == serializer_digest(after)


def test_the_order_of_serializer_fields_is_seen():
    before, after = (nest(a=Dynamic(only=only)) for only in ("ab", "ba"))
    assert serializer_digest(before) != serializer_digest(after)
    orders = [
        make_serializer(get_fields=lambda self, names=names: {name: chars() for name in names})
        for names in ("ab", "ba")
    ]
    assert digest(describe_serializer(orders[0])) != digest(describe_serializer(orders[1]))


# fmt: off
ATTRIBUTES = [
    "read_only", "write_only", "required", "default", "source", "many", "allow_null", "allow_blank",
    "allow_empty", "max_length", "min_length", "max_digits", "decimal_places", "coerce_to_string",
    "normalize_output", "localize", "rounding", "format", "timezone", "uuid_format", "protocol", "binary",
    "encoder", "use_url", "method_name", "lookup_field", "lookup_url_kwarg", "view_name", "slug_field",
    "queryset", "grouped_choices", "child", "child_relation",
]
SETTINGS = [
    "DATE_FORMAT", "DATETIME_FORMAT", "TIME_FORMAT", "DURATION_FORMAT", "COERCE_DECIMAL_TO_STRING",
    "COERCE_BIGINT_TO_STRING", "UPLOADED_FILES_USE_URL",
]
# fmt: on


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_what_a_class_gives_itself_is_seen(name):
    class Field(serializers.ReadOnlyField):
        def __init__(self):
            super().__init__()
            setattr(self, name, value)

    value = "a"
    before = serializer_digest(Field())
    value = "b"
    assert serializer_digest(Field()) != before


@pytest.mark.parametrize("name", SETTINGS)
def test_formats_in_the_settings_are_seen(name):
    before = describe_serializer(Nested)
    with override_settings(REST_FRAMEWORK={"PAGE_SIZE": 1}):
        assert describe_serializer(Nested) == before
    with override_settings(REST_FRAMEWORK={name: None}):
        assert digest(describe_serializer(Nested)) != digest(before)


@pytest.mark.parametrize("field", [text(max_length=8), text(null=True), models.DateField(), link(Author)])
def test_a_model_serializer_sees_its_model(field):
    versions = [make_model_serializer(make_model(field=version)) for version in (text(), field)]
    assert digest(describe_serializer(versions[0])) != digest(describe_serializer(versions[1]))


def test_depth_and_links_are_seen():
    versions = [make_model_serializer(City, depth=depth) for depth in (0, 1)]
    versions.append(make_model_serializer(City, serializers.HyperlinkedModelSerializer))
    assert len({digest(describe_serializer(version)) for version in versions}) == 3


def make_tree(branches=1, **others):
    """A serializer that contains itself, as often as `branches`, and once more for each of `others`."""

    class Tree(Dynamic):
        def get_fields(self):
            fields = super().get_fields()
            fields |= {f"branch{number}": Tree(many=True) for number in range(branches)}
            return fields | {name: Tree(**arguments) for name, arguments in others.items()}

    return Tree


def test_a_serializer_may_contain_itself():
    options = [{}, {"branches": 2}, *({"other": {"only": only}} for only in ("", "a", "b", "ab", "ba"))]
    digests = [digest(describe_serializer(make_tree(**each))) for each in options]
    assert len(set(digests)) == len(digests)
    assert digests == [digest(describe_serializer(make_tree(**each))) for each in options]


def test_a_serializer_may_contain_another_version_of_itself():
    def make_versions(field):
        class Version(serializers.Serializer):
            def __init__(self, *, last=False):
                self.last = last
                super().__init__()

            def get_fields(self):
                return {"field": field} if self.last else {"version": Version(last=True)}

        return Version

    versions = [make_versions(field) for field in (chars(), Loud())]
    assert digest(describe_serializer(versions[0])) != digest(describe_serializer(versions[1]))


def test_children_are_described_once():
    """Twice at each level would soon be too much."""
    related = type("Loudly", (serializers.StringRelatedField,), {})
    for field, child in ((many(child=Loud()), "Loud"), (related(many=True), "Loudly")):
        path = re.compile(rf"\.{child}'")
        assert len(path.findall(repr(describe_serializer(make_serializer(field=field))))) == 1


def test_a_serializer_may_make_others_without_end():
    def make_endless():
        return make_serializer(get_fields=lambda self: {"child": make_endless()()})

    assert describe_serializer(make_endless()) == describe_serializer(make_endless())


def test_the_files_of_this_host_are_not_described(tmp_path):
    cls = make_serializer(field=serializers.FilePathField(path=str(tmp_path)))
    before = describe_serializer(cls)
    (tmp_path / "file").touch()
    assert describe_serializer(cls) == before


def test_related_rows_are_not_read():
    """They are the choices of a field with a queryset."""
    rows = City.objects.filter(name="x")
    assert serializer_digest(key(queryset=rows)) != serializer_digest(key(queryset=rows, many=True))
    assert describe_serializer(make_model_serializer(City))
    assert rows._result_cache is None


@pytest.mark.parametrize("value", [None, 1, "Nested", str, chars, Opaque])
def test_what_is_no_serializer_class(value):
    message = f"Failed to initialize serializer class: {value!r}: not a serializer class"
    with pytest.raises(ValueError, match=re.escape(message)):
        describe_serializer(value)


def fails(message):
    def fail(self, *args, **kwargs):
        raise LookupError(message)

    return fail


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"__init__": fails("no context")}, "no context"),
        ({"get_fields": fails("no fields")}, "no fields"),
        ({"get_fields": fails("")}, "LookupError('')"),
        ({"a": nest(get_fields=fails("nested"))}, "nested"),
        ({"base": serializers.ModelSerializer}, 'Class OrderSerializer missing "Meta" attribute'),
        ({"base": serializers.ListSerializer}, "`child` is a required argument."),
    ],
)
def test_a_serializer_that_cannot_be_made(attributes, reason):
    message = f"Failed to initialize serializer class: shop.serializers.OrderSerializer: {reason}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$") as raised:
        describe_serializer(make_serializer(**attributes))
    assert raised.value.__cause__ is not None


def test_without_rest_framework(monkeypatch):
    monkeypatch.setitem(sys.modules, "rest_framework.serializers", None)
    assert describe_model(Author)
    with pytest.raises(ImproperlyConfigured, match="DrfSerializerKeyField needs djangorestframework"):
        describe_serializer(Nested)


# --- alike everywhere


@pytest.mark.parametrize("language", ["de", "fr", None])
def test_the_active_language_is_not_described(language):
    lazily = text(choices=[("mon", gettext_lazy("Monday"))], default=gettext_lazy("Monday"))
    model = make_model(lazily=lazily, at_once=TranslatedField())
    cls = make_serializer(
        get_fields=lambda self: {"a": choice([gettext("Monday")]), "b": choice(Status.choices)}
    )
    expected = (
        describe_model(model),
        describe_serializer(cls),
        describe_serializer(make_model_serializer(model)),
    )
    with override(language):
        assert (gettext("Monday") == "Monday") == (language is None)
        described = (
            describe_model(model),
            describe_serializer(cls),
            describe_serializer(make_model_serializer(model)),
        )
        assert get_language() == language
    assert described == expected
    assert "Montag" not in repr(described)


def digests_of_a_process(parent):
    """Of everything above: sets iterate in another order under another hash seed, and addresses differ."""
    fields = [field for _, *versions in MODEL_FIELD_CHANGES + SAME_MODEL_FIELDS for field in versions]
    fields += [OptionField(option=option) for option in option_values()]
    parts = [field for _, *versions in SERIALIZER_FIELD_CHANGES for field in versions]
    return [*map(model_digest, fields), *map(serializer_digest, parts)]


def test_descriptions_are_the_same_in_every_process(processes, monkeypatch):
    children = []
    for seed in ("1", "2"):
        monkeypatch.setitem(os.environ, "PYTHONHASHSEED", seed)
        children.append(processes(digests_of_a_process))
    assert [child.result() for child in children] == [digests_of_a_process(None)] * 2


class Golden(serializers.ModelSerializer):
    """Something of everything."""

    title = chars(source="name", default="?", help_text="Help")
    rate = decimal(coerce_to_string=False)
    status = choice(Status.choices)
    related = key(queryset=Author.objects.all(), many=True, source="x")
    nested = Nested(many=True)
    days = many(child=day(format="%Y"))
    computed = serializers.SerializerMethodField()

    class Meta:
        model = City
        fields = "__all__"
        depth = 1


GOLDEN = [
    (describe_model, Article, "9658aa35d6217dcc13fa19b6089ea5b0"),
    (describe_model, Writer, "ea2ce5e518daa75da6abb5ee67cf6647"),
    (describe_model, Restaurant, "a556ee0be07a89e3f5e4434c9daa54fe"),
    (describe_model, Country, "d87cb47011d4a4ae00cc39a251717344"),
    (describe_model, Currency, "8baa21887bb1646ca3ffd517114a6d5a"),
    (describe_serializer, Golden, "2c03b063f79dd23032e2e64b7a1b3732"),
]


@pytest.mark.parametrize(("describe", "cls", "expected"), GOLDEN, ids=[row[1].__name__ for row in GOLDEN])
def test_descriptions_outlive_upgrades_of_python_and_django(describe, cls, expected):
    """The digest is another one when the class is, or how it is described: then so are all keys."""
    assert digest(describe(cls)) == expected
