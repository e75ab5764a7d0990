"""What decides whether a rule fires: watched fields, conditions, required values, creations."""

import pytest

from cache_result import InvalidationRule
from tests.app.models import Article, Author, Document
from tests.backends import on
from tests.invalidation.rows import is_cached

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def decorated(cached):
    """`decorated(**gates)`: a function of an author's id under a rule for articles."""

    def decorated(model=Article, mapping=("author_id", "author_id"), **gates):
        rule = InvalidationRule(model, field_mapping=dict([mapping]), **gates)
        runs = []

        @cached(invalidates_on=[rule])
        def function(author_id=None):
            runs.append(author_id)
            return len(runs)

        function.runs = runs
        return function

    return decorated


@pytest.fixture
def article():
    return Article.objects.create(author=Author.objects.create(), title="a", slug="s")


@on("locmem")
class TestWatchFields:
    @pytest.mark.parametrize("load", [False, True], ids=["as created", "as loaded"])
    @pytest.mark.parametrize("options", [{}, {"update_fields": ["title", "slug"]}], ids=["plain", "some"])
    def test_only_a_watched_value_that_changes_fires(self, decorated, article, load, options):
        function = decorated(watch_fields=["title"])
        article = Article.objects.get(pk=article.pk) if load else article
        function(article.author_id)
        article.slug = "another"
        article.save(**options)
        assert is_cached(function, article.author_id)
        article.title = "another"
        article.save(**options)
        assert not is_cached(function, article.author_id)

    def test_back_and_forth(self, decorated, article):
        function = decorated(watch_fields=["title"])
        for title in ("b", "a"):
            function(article.author_id)
            article.title = title
            article.save()
            assert not is_cached(function, article.author_id)

    @pytest.mark.parametrize("name", ["author", "author_id"])
    def test_relations_by_either_name(self, decorated, article, name):
        function = decorated(watch_fields=[name])
        before = article.author_id
        function(before)
        article.title = "b"
        article.save()
        assert is_cached(function, before)
        article.author = Author.objects.create()
        article.save()
        assert not is_cached(function, before)

    def test_a_creation_and_a_deletion_fire(self, decorated, article):
        function = decorated(watch_fields=["title"])
        function(article.author_id)
        other = Article.objects.create(author_id=article.author_id)
        assert not is_cached(function, article.author_id)
        function(article.author_id)
        other.delete()
        assert not is_cached(function, article.author_id)

    def test_what_is_unknown_has_changed(self, decorated, article):
        function = decorated(watch_fields=["title"])
        function(article.author_id)
        Article.objects.only("slug", "author").get(pk=article.pk).save(update_fields=["slug"])
        assert not is_cached(function, article.author_id)


@on("locmem")
class TestInvalidateWhen:
    @pytest.mark.parametrize(
        ("when", "before", "after", "fires"),
        [
            ({"slug": "public"}, "public", "public", True),
            ({"slug": "public"}, "draft", "draft", False),
            ({"slug": "public"}, "draft", "public", True),
            ({"slug": "public"}, "public", "draft", True),
            ({"slug": ["public", "listed"]}, "listed", "listed", True),
            ({"slug": {"public", "listed"}}, "draft", "draft", False),
            ({"!slug": "draft"}, "draft", "draft", False),
            ({"!slug": "draft"}, "draft", "public", True),
            ({"!slug": ("draft", "old")}, "public", "public", True),
            ({"slug": "public", "title": "x"}, "public", "public", False),
            ({"slug": "public", "title": "a"}, "public", "public", True),
        ],
    )
    def test_fires_when_the_old_or_the_new_row_matches(self, decorated, article, when, before, after, fires):
        article.slug = before
        article.save()
        article = Article.objects.get(pk=article.pk)
        function = decorated(invalidate_when=when)
        function(article.author_id)
        article.slug = after
        article.save()
        assert is_cached(function, article.author_id) is not fires

    def test_a_relation_by_instance_or_key(self, decorated, article):
        one, two = (
            decorated(invalidate_when={"author": article.author}),
            decorated(invalidate_when={"author_id": article.author_id}),
        )
        for function in (one, two):
            function(article.author_id)
        article.save()
        assert not is_cached(one, article.author_id)
        assert not is_cached(two, article.author_id)

    def test_creations_and_deletions_are_judged_too(self, decorated, article):
        function = decorated(invalidate_when={"slug": "public"})
        function(article.author_id)
        Article.objects.create(author_id=article.author_id, slug="draft").delete()
        assert is_cached(function, article.author_id)
        Article.objects.create(author_id=article.author_id, slug="public")
        assert not is_cached(function, article.author_id)


@on("locmem")
class TestCreations:
    @pytest.mark.parametrize(
        ("option", "invalidates", "rewarms"), [(None, True, False), (True, True, True), (False, False, False)]
    )
    def test_trigger_on_create(self, decorated, article, option, invalidates, rewarms):
        function = decorated(trigger_on_create=option, rewarm=True)
        function(article.author_id)
        Article.objects.create(author_id=article.author_id)
        assert function.runs == [article.author_id] * (2 if rewarms else 1)
        assert is_cached(function, article.author_id) is (rewarms or not invalidates)


@on("locmem")
class TestRequiredValues:
    """A rule with a missing value names nobody's calls but those that were given none themselves."""

    @pytest.mark.parametrize("require", [True, False, ["author_id"]])
    def test_a_missing_value_reaches_calls_without_one(self, decorated, require):
        function = decorated(Document, ("author_id", "owner_id"), require_args=require)
        for call in (None, 1):
            function(call)
        Document.objects.create(owner=None)
        assert is_cached(function, 1)
        assert not is_cached(function, None)

    @pytest.mark.parametrize(("require", "rewarms"), [(True, False), (["author_id"], False), (False, True)])
    def test_it_is_rewarmed_only_where_it_is_not_required(self, decorated, require, rewarms):
        function = decorated(
            Document, ("author_id", "owner_id"), require_args=require, rewarm=True, trigger_on_create=True
        )
        Document.objects.create(owner=None)
        assert function.runs == ([None] if rewarms else [])


@pytest.mark.parametrize(
    ("gates", "error", "names"),
    [
        ({"watch_fields": "title"}, TypeError, "watch_fields"),
        ({"watch_fields": []}, TypeError, "watch_fields"),
        ({"invalidate_when": ["title"]}, TypeError, "invalidate_when"),
        ({"invalidate_when": {"!": 1}}, TypeError, "invalidate_when"),
        ({"require_args": ["title"]}, ValueError, "title"),
        ({"require_args": 1}, TypeError, "require_args"),
        ({"trigger_on_create": "yes"}, TypeError, "trigger_on_create"),
        ({"old_values": "guess"}, ValueError, "old_values"),
    ],
)
def test_wrong_options(gates, error, names):
    with pytest.raises(error, match=names):
        InvalidationRule(Article, field_mapping={"author_id": "author_id"}, **gates)
