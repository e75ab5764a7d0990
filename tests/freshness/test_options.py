"""Wrong options fail at decoration, with a message that names the option and the remedy."""

from datetime import timedelta

import pytest

from cache_result import cache_response, cache_result


def decorate(**options):
    @cache_result(name="test-freshness-options", **options)
    def function(key):
        return key

    return function


GOOD = [
    {"stale_while_revalidate": 5},
    {"stale_while_revalidate": 0.5, "stale_if_error": timedelta(hours=1)},
    {"stale_if_error": 60, "error_types": ValueError},
    {"stale_if_error": 60, "error_types": (OSError, LookupError)},
    {"stale_if_error": 60, "error_types": [OSError]},
    {"stale_if_error": 60, "fill_timeout": 0.1},
    {"stale_while_revalidate": 5, "stale_if_error": 60, "fill_timeout": timedelta(seconds=1)},
    {"early_refresh": True},
    {"early_refresh": False, "ttl": None},
    {"early_refresh": 0.5},
    {"jitter": 0},
    {"jitter": 0.1, "ttl": lambda result: None},
    {"stale_while_revalidate": 5, "ttl": 0},
]


@pytest.mark.parametrize("options", GOOD, ids=lambda options: "-".join(options))
def test_what_is_taken(options):
    assert decorate(**options)(1) == 1


WRONG = [
    ({"stale_while_revalidate": 0}, ValueError, "stale_while_revalidate=0"),
    ({"stale_while_revalidate": -1}, ValueError, "positive number of seconds"),
    ({"stale_while_revalidate": float("inf")}, ValueError, "stale_while_revalidate=inf"),
    ({"stale_while_revalidate": float("nan")}, ValueError, "stale_while_revalidate=nan"),
    ({"stale_while_revalidate": "5"}, TypeError, "stale_while_revalidate='5'.*is of type str"),
    ({"stale_while_revalidate": True}, TypeError, "is of type bool"),
    ({"stale_if_error": timedelta(0)}, ValueError, "stale_if_error="),
    ({"stale_if_error": 5, "error_types": KeyboardInterrupt}, TypeError, "a subclass of Exception"),
    ({"stale_if_error": 5, "error_types": ()}, TypeError, "a subclass of Exception"),
    ({"stale_if_error": 5, "error_types": "ValueError"}, TypeError, "a subclass of Exception"),
    ({"stale_if_error": 5, "error_types": ValueError("x")}, TypeError, "a subclass of Exception"),
    ({"error_types": ValueError}, ValueError, "has no effect without stale_if_error"),
    ({"fill_timeout": 1}, ValueError, "has no effect without stale_if_error"),
    ({"fill_timeout": 1, "stale_while_revalidate": 5}, ValueError, "has no effect without"),
    ({"fill_timeout": 1, "stale_if_error": 5, "stale_while_revalidate": 5}, ValueError, "has no effect"),
    ({"fill_timeout": 0, "stale_if_error": 5}, ValueError, "fill_timeout=0"),
    ({"early_refresh": "yes"}, TypeError, "early_refresh='yes'"),
    ({"early_refresh": -1.0}, ValueError, "early_refresh=-1.0"),
    ({"early_refresh": 0.0}, ValueError, "early_refresh=0.0"),
    ({"early_refresh": float("inf")}, ValueError, "early_refresh=inf"),
    ({"jitter": 1}, ValueError, "from 0 to less than 1"),
    ({"jitter": -0.1}, ValueError, "from 0 to less than 1"),
    ({"jitter": True}, TypeError, "jitter=True"),
    ({"jitter": "0.1"}, TypeError, "jitter='0.1'"),
    ({"stale_while_revalidate": 5, "ttl": None}, ValueError, "no effect with ttl=None"),
    ({"stale_if_error": 5, "ttl": None}, ValueError, "no effect with ttl=None"),
    ({"early_refresh": True, "ttl": None}, ValueError, "no effect with ttl=None"),
    ({"jitter": 0.1, "ttl": None}, ValueError, "no effect with ttl=None"),
]


@pytest.mark.parametrize(("options", "kind", "message"), WRONG)
def test_what_is_refused(options, kind, message):
    with pytest.raises(kind, match=message) as refused:
        decorate(**options)
    assert "function" in str(refused.value)


def test_views_are_checked_too():
    with pytest.raises(ValueError, match="no effect with ttl=None"):

        @cache_response(ttl=None, stale_while_revalidate=5)
        def view(request):
            raise AssertionError("never called")


def test_views_have_no_fill_timeout():
    with pytest.raises(TypeError, match="fill_timeout"):
        cache_response(stale_if_error=5, fill_timeout=1)
