"""Tags in rules, and `invalidate_tags` in transactions."""

import pytest
from asgiref.sync import async_to_sync
from django.core.checks import run_checks
from django.db import transaction

from cache_result import (
    CACHE_MISSING,
    InvalidationRule,
    ainvalidate_tags,
    invalidate_for,
    invalidate_tags,
    invalidation_deferred,
    no_invalidation,
    registered_rules,
)
from cache_result.tags import Tag
from tests.app.models import Article, Author
from tests.backends import on
from tests.invalidation.rows import moved, raw, rename, rolled_back
from tests.waiting import Gate

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    on("locmem", "memory", "file", "redis", "memcached"),
]


@pytest.fixture
def author():
    return Author.objects.create(name="old")


@pytest.fixture
def name(cached):
    """Depends on an author through a tag alone: its own decorator has no rule."""

    @cached(tags="author:{author_id}")
    def name(author_id):
        return Author.objects.get(pk=author_id).name

    return name


@pytest.fixture
def ruled(cached):
    """`ruled(Author, tags=...)`: some function has this rule."""

    def ruled(model, **options):
        return cached(invalidates_on=[InvalidationRule(model, **options)])(lambda key: [key])

    return ruled


def left(function, *keys):
    return [key for key in keys if function.get_cache_only(key) is not CACHE_MISSING]


def test_a_rule_reaches_calls_of_other_functions(name, ruled, author):
    own = ruled(Author, tags=["author:{id}"])
    other = Author.objects.create(name="other")
    assert [name(author.pk), name(other.pk), own(author.pk)] == ["old", "other", [author.pk]]
    rename(author)
    assert left(name, author.pk, other.pk) == [other.pk]
    assert left(own, author.pk) == [author.pk]  # its rule names tags only
    assert name(author.pk) == "new"


def test_mapping_and_tags_together(cached, name, author):
    rule = InvalidationRule(Author, field_mapping={"key": "id"}, tags="author:{pk}", rewarm=True)
    own = cached(invalidates_on=[rule])(lambda key: Author.objects.get(pk=key).name)
    assert [own(author.pk), name(author.pk)] == ["old", "old"]
    rename(author)
    assert (own.get_cache_only(author.pk), name(author.pk)) == ("new", "new")


def test_tags_without_fields(cached, ruled):
    f = cached(tags="authors")(lambda key: key)
    ruled(Author, tags="authors")
    f(1)
    Author.objects.create(name="x")
    assert left(f, 1) == []


@pytest.fixture
def titles(cached):
    return cached(tags=["writer:{key}"])(lambda key: [key])


@pytest.fixture
def two(titles):
    authors = [Author.objects.create(name=name) for name in "abc"]
    return [author.pk for author in authors], [
        Article.objects.create(author=author, title="x", slug=author.name) for author in authors
    ]


def test_old_and_new_values(titles, ruled, two):
    keys, articles = two
    ruled(Article, tags=["writer:{author_id}"])
    [titles(key) for key in keys]
    moved(articles[0], Author.objects.get(pk=keys[1])).save()
    assert left(titles, *keys) == [keys[2]]


def test_what_was_assigned_is_read_as_its_field_reads_it(titles, ruled, two):
    keys, articles = two
    ruled(Article, tags=["writer:{author_id}"])
    [titles(key) for key in keys]
    articles[0].author_id = f" {keys[1]}"
    articles[0].save()
    assert left(titles, *keys) == [keys[2]]


def test_unknown_values_invalidate_the_family(titles, cached, ruled, two):
    keys, articles = two
    ruled(Article, tags=["writer:{author_id}"])
    others = cached(tags=["writers:{key}"])(lambda key: key)
    [titles(key) for key in keys], others(1)
    article = Article.objects.defer("author_id").get(pk=articles[0].pk)
    article.author_id = keys[1]
    article.save()
    assert left(titles, *keys) == []
    assert left(others, 1) == [1]


@pytest.mark.parametrize(
    "write",
    [
        lambda articles: Article.objects.filter(slug="a").update(title="y"),
        lambda articles: raw("UPDATE app_article SET title = 'y'"),
        lambda articles: invalidate_for(Article),
    ],
    ids=["update", "raw", "invalidate_for"],
)
def test_statements_that_do_not_tell(titles, ruled, two, write):
    keys, articles = two
    ruled(Article, tags=["writer:{author_id}"])
    [titles(key) for key in keys]
    write(articles)
    assert left(titles, *keys) == []


def test_statements_that_tell(titles, ruled, two):
    keys, _ = two
    ruled(Article, tags=["writer:{author_id}"])
    [titles(key) for key in keys]
    Article.objects.filter(author_id=keys[0]).update(title="y")
    assert left(titles, *keys) == keys[1:]
    titles(keys[0])
    Article.objects.bulk_create([Article(author_id=keys[2], title="y", slug="y")])
    assert left(titles, *keys) == keys[:2]


def test_deletions(titles, ruled, two):
    keys, articles = two
    ruled(Article, tags=["writer:{author_id}"])
    [titles(key) for key in keys]
    articles[1].delete()
    assert left(titles, *keys) == [keys[0], keys[2]]


def test_gates(titles, ruled, two):
    keys, articles = two
    ruled(Article, tags=["writer:{author_id}"], watch_fields=["title"], invalidate_when={"slug": "a"})
    [titles(key) for key in keys]
    articles[0].reference = "00000000-0000-0000-0000-000000000001"
    articles[0].save()
    articles[1].title = "y"
    articles[1].save()
    assert left(titles, *keys) == keys
    articles[0].title = "y"
    articles[0].save()
    assert left(titles, *keys) == keys[1:]


def test_many_tags_become_their_family(titles, cached, ruled, two, settings):
    settings.CACHE_RESULT = {"MAX_SCOPES_PER_TRANSACTION": 2}
    keys, articles = two
    ruled(Article, tags=["writer:{author_id}", "articles"])
    every = cached(tags="articles")(lambda key: key)
    [titles(key) for key in keys], titles(-1), every(1)
    with transaction.atomic():
        for article in articles:
            article.save()
    assert (left(titles, *keys, -1), left(every, 1)) == ([], [])


def test_uncommitted_changes_stay_local(name, ruled, author, threads):
    ruled(Author, tags=["author:{id}"])
    assert name(author.pk) == "old"
    with transaction.atomic():
        rename(author)
        assert name(author.pk) == "new"
        assert name.get_cache_only(author.pk) is CACHE_MISSING
        assert threads(name.get_cache_only, author.pk).result() == "old"
    assert name(author.pk) == "new"


def test_a_rollback_changes_nothing(name, ruled, author):
    ruled(Author, tags=["author:{id}"])
    assert name(author.pk) == "old"
    with rolled_back():
        rename(author)
    assert name.get_cache_only(author.pk) == "old"


def test_closed_from_before_the_commit(name, ruled, author, at_opening, threads):
    """Fails when tags are not closed, as the entry is still valid then."""
    ruled(Author, tags=["author:{id}"])
    assert name(author.pk) == "old"
    seen = at_opening(
        lambda: [threads(name, author.pk).result(), threads(name.get_cache_only, author.pk).result()]
    )
    with transaction.atomic():
        rename(author)
    assert seen == [["new", CACHE_MISSING]]


def test_settling(apart, cached, ruled, author):
    ruled(Author, tags=["author:{id}"], settle=60)
    f = cached(tags="author:{key}")(lambda key: [key])
    f(author.pk)
    rename(author)
    f(author.pk)
    assert left(f, author.pk) == []


# --- by hand


def test_at_once_in_a_transaction(name, author, threads, cache_alias):
    assert name(author.pk) == "old"
    with transaction.atomic():
        invalidate_tags(f"author:{author.pk}", cache=cache_alias)
        assert threads(name.get_cache_only, author.pk).result() is CACHE_MISSING


@pytest.mark.parametrize("invalidate", ["sync", "async", "before"])
def test_again_at_the_commit(name, author, threads, cache_alias, invalidate):
    """Others may store what was true before, after `invalidate_tags` and before the COMMIT. Fails when the
    transaction is not told."""
    tag = f"author:{author.pk}"
    with transaction.atomic():
        if invalidate == "before":
            invalidate_tags(tag, cache=cache_alias)
        rename(author)
        if invalidate == "sync":
            invalidate_tags(tag, cache=cache_alias)
        elif invalidate == "async":
            async_to_sync(ainvalidate_tags)(tag, cache=cache_alias)
        assert threads(name, author.pk).result() == "old"
        assert threads(name.get_cache_only, author.pk).result() == "old"
        assert name(author.pk) == "new"
    assert name.get_cache_only(author.pk) is CACHE_MISSING
    assert name(author.pk) == "new"


def test_closed_for_the_commit_by_hand(name, author, threads, cache_alias, at_opening):
    seen = at_opening(lambda: threads(name, author.pk).result())
    with transaction.atomic():
        rename(author)
        invalidate_tags(f"author:{author.pk}", cache=cache_alias)
        threads(name, author.pk).result()
    assert seen == ["new"]


def test_blocks_do_not_keep_it_back(name, author, cache_alias):
    for block in (no_invalidation, invalidation_deferred):
        name(author.pk)
        with block():
            invalidate_tags(f"author:{author.pk}", cache=cache_alias)
            assert left(name, author.pk) == []


def test_blocks_take_the_tags_of_rules(name, ruled, author):
    ruled(Author, tags=["author:{id}"])
    name(author.pk)
    with invalidation_deferred():
        rename(author)
        assert name(author.pk) == "new"
        assert name.get_cache_only(author.pk) is CACHE_MISSING
    assert name(author.pk) == "new"
    with no_invalidation():
        rename(author, "newest")
    assert name(author.pk) == "new"


# --- fences


def test_a_fill_under_way_is_void(cached, threads, cache_alias):
    """Fails when the entry is stored with the generations of after the function ran."""
    gate, state = Gate(), {"value": "old"}

    @cached(tags="x:{key}")
    def f(key):
        value = state["value"]
        gate.stop_here()
        return value

    filling = threads(f, 1)
    gate.wait_until_reached()
    state["value"] = "new"
    invalidate_tags("x:1", cache=cache_alias)
    assert f(1) == "new"  # nor does a later caller wait for the old fill
    gate.open()
    assert filling.result() == "old"
    assert f(1) == "new"


# --- what a rule may say


WRONG = [
    ({"tags": 5}, TypeError, "give text"),
    ({"tags": [len]}, TypeError, "give text"),
    ({"tags": ["{id}"]}, ValueError, "a colon before its fields"),
    ({"tags": ["user-{id}"]}, ValueError, "a colon before its fields"),
    ({"tags": ["user:{}"]}, ValueError, "names with attributes"),
    ({"tags": ["user:{id}"], "rewarm": True}, ValueError, "needs field_mapping"),
    ({"tags": ["user:{id}"], "invalidator": "a.b"}, ValueError, "exclude each other"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=[str(case[0]) for case in WRONG])
def test_wrong_tags(options, error, message, cache_alias):
    with pytest.raises(error, match=message):
        InvalidationRule(Author, **options)


def test_names_of_rules(ruled):
    function = ruled(Author, tags=["author:{id}", "authors"])
    (rule,) = [rule for rule in registered_rules() if rule.function == function.label]
    assert rule.name.endswith("@app.Author(#author:{id},#authors)")


def test_unknown_fields_are_a_warning(ruled):
    ruled(Author, tags=["author:{nothing}"])
    assert "cache_result.W006" in {message.id for message in run_checks()}


def test_what_is_lost_is_named(cache_alias):
    assert (str(Tag("a:b")), str(Tag("a:b").wider)) == ("the tag 'a:b'", "the tags 'a:*'")
    assert Tag("a").wider == Tag("a")
