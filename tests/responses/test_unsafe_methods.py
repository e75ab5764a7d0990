"""After a POST, a URL shows what was posted (RFC 9111, 4.4)."""

import pytest
from django.db import transaction
from django.test import RequestFactory

from tests.app.models import Author
from tests.responses import views


@pytest.fixture
def requests():
    return RequestFactory()


@pytest.mark.parametrize("path", ["Dispatched", "ApiWholeOpen"])
def test_a_post_invalidates_the_responses_of_its_url(get, client, path):
    first = get(f"/{path}/1/").content
    other = get(f"/{path}/2/").content
    assert get(f"/{path}/1/?page=2").content != first
    client.post(f"/{path}/1/")
    assert get(f"/{path}/1/").content != first
    assert get(f"/{path}/2/").content == other
    assert views.runs[path] == 4


def test_a_refused_post_does_not(get, client):
    first = get("/Dispatched/1/").content
    assert client.post("/Dispatched/1/?refuse=1").status_code == 400
    assert get("/Dispatched/1/").content == first


def test_options_does_not(get, client):
    first = get("/Dispatched/1/").content
    client.options("/Dispatched/1/")
    assert get("/Dispatched/1/").content == first


def test_without_a_partition_all_responses_of_the_view_go(requests):
    assert views.posted(requests.get("/posted/?a=1")).content == b"run 1"
    assert views.posted(requests.get("/posted/?a=1")).content == b"run 1"
    views.posted(requests.post("/posted/"))
    assert views.posted(requests.get("/posted/?a=1")).content == b"run 3"


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_they_go_when_it_commits(requests, threads):
    def seen():
        return views.posted(requests.get("/posted/")).content

    assert seen() == b"run 1"
    with transaction.atomic():
        Author.objects.create(name="Ada")
        views.posted(requests.post("/posted/"))
        assert threads(seen).result() == b"run 1"
    assert seen() == b"run 3"


@pytest.mark.django_db(transaction=True)
def test_a_rollback_leaves_them(requests):
    before = views.posted(requests.get("/posted/")).content
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Author.objects.create(name="Ada")
        views.posted(requests.post("/posted/"))
        raise ZeroDivisionError
    assert views.posted(requests.get("/posted/")).content == before


async def test_async_views_do_the_same(async_client):
    first = (await async_client.get("/async_posted/")).content
    assert (await async_client.get("/async_posted/")).content == first
    await async_client.post("/async_posted/")
    assert (await async_client.get("/async_posted/")).content != first
