"""`HOST_INDEX`: what becomes of the file, and of those who have it."""

import pytest
from django.core.cache import caches

from cache_result import CacheStatus, InvalidationRule, cache_result
from cache_result.backends import host
from tests.app.models import Author


@pytest.fixture
def index(tmp_path, settings, monkeypatch):
    """The path of the file, which the cache "hosted" has. Tests have none otherwise."""
    monkeypatch.setattr(host, "is_testing", lambda: False)
    tmp_path.chmod(0o700)
    path = tmp_path / "index"
    spec = {"BACKEND": "cache_result.backends.MemoryCache", "LOCATION": str(path)}
    settings.CACHES = {**settings.CACHES, "hosted": {**spec, "OPTIONS": {"HOST_INDEX": path}}}
    caches["hosted"].set("key", 1)
    assert path.exists()
    return path


def status(wrapper, *args):
    return wrapper.get_with_metadata(*args)[1]["cache_status"]


@pytest.mark.django_db(transaction=True)
class TestDeleted:
    """A closing that lasts longer than the grace of a new file (10 s) outlives the old one."""

    @pytest.fixture
    def author(self):
        return Author.objects.create(name="old")

    @pytest.fixture
    def make_name_of(self, unique_name):
        def make_name_of(**options):
            rule = InvalidationRule(Author, field_mapping={"author": "pk"}, **options)

            @cache_result(cache="hosted", name=unique_name(), invalidates_on=[rule])
            def name_of(author):
                return Author.objects.get(pk=author).name

            return name_of

        return make_name_of

    def test_while_calls_settle(self, index, clock, author, make_name_of):
        name_of = make_name_of(settle=30)
        name_of(author.pk)
        author.name = "new"
        author.save()
        clock.advance(5)
        index.unlink()
        assert status(name_of, author.pk) == CacheStatus.BYPASS
        assert index.exists()
        # Fails (a result from a replica that lags behind is stored) without `Slots::adopt`.
        clock.advance(15)
        assert status(name_of, author.pk) == CacheStatus.BYPASS
        clock.advance(15)
        assert [status(name_of, author.pk) for _ in range(2)] == [CacheStatus.MISS, CacheStatus.HIT]

    def test_while_a_writer_is_slow(self, index, clock, author, make_name_of, threads, at_opening):
        """CLOSE_TIMEOUT is 60 s here: the writer may be alive for as long."""
        name_of = make_name_of()
        name_of(author.pk)

        def look():
            index.unlink()
            seen = [threads(status, name_of, author.pk).result()]
            clock.advance(20)
            return [*seen, threads(status, name_of, author.pk).result()]

        seen = at_opening(look)
        author.name = "new"
        author.save()
        assert seen == [[CacheStatus.BYPASS] * 2]
        clock.advance(60)
        assert [status(name_of, author.pk) for _ in range(2)] == [CacheStatus.MISS, CacheStatus.HIT]
        assert name_of(author.pk) == "new"
