"""Scope values are loose: however a caller writes a row's key, the rule finds his entry. Keys stay typed."""

import decimal
import enum
import uuid

import pytest

from cache_result import CACHE_MISSING
from tests.app.models import Article, Author, Country, Currency, Document
from tests.backends import on

pytestmark = [pytest.mark.django_db(transaction=True), on("locmem", "redis")]

REFERENCE = uuid.UUID("0123456789abcdef0123456789abcdef")


class Number(enum.IntEnum):
    FIVE = 5


class Code(enum.Enum):
    GERMANY = "DE"


class Text(str):
    """As SafeString is."""


@pytest.fixture
def make(following):
    """A function of one mapped argument, which returns how often it ran."""

    def make(model, field):
        runs = []

        @following(model, {"value": field})
        def function(value, more=None):
            runs.append(value)
            return len(runs)

        return function

    return make


def assert_found(function, spellings, change, unrelated):
    """Every spelling of the changed row's value is invalidated, nothing else is."""
    keys = {function.get_cache_key(value) for value in spellings}
    assert len(keys) >= len({(type(value), str(value)) for value in spellings}) - 1
    for value in [*spellings, *unrelated]:
        function(value)
    change()
    for value in spellings:
        assert function.get_cache_only(value) is CACHE_MISSING, f"stale for {value!r}"
    for value in unrelated:
        assert function.get_cache_only(value) is not CACHE_MISSING, f"too much: {value!r}"


@pytest.mark.parametrize("field", ["pk", "id"])
def test_integers(make, field):
    author = Author.objects.create(pk=5)
    other = Author.objects.create(pk=55)
    spellings = [5, "5", Number.FIVE, Text("5"), author, "05", " 5 ", 5.0, decimal.Decimal(5)]
    assert_found(make(Author, field), spellings, author.save, [55, "55", other, 6, "6", -5])


@pytest.mark.parametrize("field", ["author", "author_id", "author.pk", "author.id"])
def test_foreign_keys(make, field):
    author, other = Author.objects.create(pk=5), Author.objects.create(pk=55)
    article = Article.objects.create(author=author)
    Article.objects.create(author=other)
    assert_found(make(Article, field), [5, "5", author], article.save, [55, "55", other])


def test_uuids(make):
    document = Document.objects.create(pk=REFERENCE)
    other = Document.objects.create()
    spellings = [REFERENCE, str(REFERENCE), REFERENCE.hex, str(REFERENCE).upper(), document]
    assert_found(make(Document, "pk"), spellings, document.save, [other.pk, str(other.pk), other])


def test_uuid_fields_that_are_no_key(make):
    author = Author.objects.create()
    article = Article.objects.create(author=author, reference=REFERENCE)
    other = Article.objects.create(author=author)
    spellings = [REFERENCE, str(REFERENCE), "{" + str(REFERENCE) + "}"]
    assert_found(make(Article, "reference"), spellings, article.save, [other.reference])


def test_text(make):
    country = Country.objects.create(code="DE")
    Country.objects.create(code="AT")
    assert_found(make(Country, "code"), ["DE", Code.GERMANY, Text("DE")], country.save, ["AT", Text("AT")])


def test_text_keys(make):
    euro = Currency.objects.create(pk="EUR")
    dollar = Currency.objects.create(pk="USD")
    assert_found(make(Currency, "pk"), ["EUR", euro], euro.save, ["USD", dollar])


def test_decimals(make):
    euro = Currency.objects.create(pk="EUR", rate=decimal.Decimal("1.50"))
    spellings = [decimal.Decimal("1.5"), decimal.Decimal("1.50"), "1.5", 1.5]
    assert_found(make(Currency, "rate"), spellings, euro.save, [decimal.Decimal("1.6")])


def test_a_value_as_the_caller_left_it_on_the_instance(make):
    """Fields are not coerced by assignment: `pk="5"` saves row 5."""
    Author.objects.create(pk=5)
    assert_found(make(Author, "pk"), [5, "5"], Author(pk="5", name="x").save, [])


def test_values_without_a_single_scope_fall_to_every_change(make):
    """None, collections and what the field refuses belong to the "other" scope."""
    function = make(Author, "pk")
    author = Author.objects.create(pk=5)
    others = [None, [5, 6], (7,), {"a": 1}, frozenset({8}), "all", "", "5.5"]
    for value in [*others, 6]:
        function(value)
    author.save()
    for value in others:
        assert function.get_cache_only(value) is CACHE_MISSING, f"stale for {value!r}"
    assert function.get_cache_only(6) is not CACHE_MISSING


def test_a_default_that_means_all(following):
    runs = []

    @following(Author, {"author_id": "pk"})
    def count(author_id=None):
        runs.append(author_id)
        return len(runs)

    assert [count(), count(5)] == [1, 2]
    author = Author.objects.create(pk=7)
    assert [count(), count(5)] == [3, 2]
    author.delete()
    assert [count(), count(5)] == [4, 2]


def test_a_row_without_a_value_touches_everything_it_might(make):
    """A NULL in the row names no scope, so the calls that name none are stale."""
    function = make(Country, "name")
    Country.objects.create(code="XX", name="")
    for value in ["", None, "x"]:
        function(value)
    Country.objects.get(code="XX").save()
    assert function.get_cache_only("") is CACHE_MISSING
    assert function.get_cache_only(None) is CACHE_MISSING


def test_bool_and_int_scopes(make):
    """True is row 1 for Django, so it is for us."""
    author = Author.objects.create(pk=1)
    assert_found(make(Author, "pk"), [1, True, "1"], author.save, [2])


def test_var_keyword_arguments_can_be_mapped(following):
    runs = []

    @following(Author, {"author_id": "pk"})
    def function(*, author_id, **more):
        runs.append(author_id)
        return len(runs)

    author = Author.objects.create(pk=5)
    assert [function(author_id="5", x=1), function(author_id=6)] == [1, 2]
    author.save()
    assert [function(author_id="5", x=1), function(author_id=6)] == [3, 2]
