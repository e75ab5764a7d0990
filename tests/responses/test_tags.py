"""Tags of responses."""

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from cache_result import add_tags, ainvalidate_tags, cache_response, invalidate_tags


@pytest.fixture
def view(unique_name):
    runs = []

    @cache_response(name=unique_name(), tags=["page:{pk}", "via:{request.method}", lambda request, pk: "all"])
    def view(request, pk):
        runs.append(pk)
        add_tags(f"added:{pk}")
        return HttpResponse(f"run {len(runs)}")

    return view


@pytest.fixture
def get(view):
    requests = RequestFactory()
    return lambda pk: view(requests.get(f"/{pk}/"), pk=pk).content


@pytest.mark.parametrize("tag", ["page:1", "via:GET", "all", "added:1"])
def test_a_tag_reaches_responses(get, tag):
    first, other = get(1), get(2)
    assert (get(1), get(2)) == (first, other)
    invalidate_tags("page:3")
    assert get(1) == first
    invalidate_tags(tag)
    assert get(1) != first
    assert (get(2) == other) is tag.endswith("1")


def test_arguments_that_are_taken_by_any_name(unique_name):
    @cache_response(name=unique_name(), tags="page:{pk}")
    def view(request, **kwargs):
        runs.append(kwargs)
        return HttpResponse("x")

    runs, requests = [], RequestFactory()
    for _ in range(2):
        view(requests.get("/1/"), pk=1)
    invalidate_tags("page:1")
    view(requests.get("/1/"), pk=1)
    assert len(runs) == 2


async def test_async(unique_name):
    runs, requests = [], RequestFactory()

    @cache_response(name=unique_name(), tags="page:{pk}")
    async def view(request, pk):
        runs.append(pk)
        add_tags("added")
        return HttpResponse("x")

    for tag in ("page:1", "added"):
        await view(requests.get("/1/"), pk=1)
        await view(requests.get("/1/"), pk=1)
        await ainvalidate_tags(tag)
    await view(requests.get("/1/"), pk=1)
    assert len(runs) == 3
