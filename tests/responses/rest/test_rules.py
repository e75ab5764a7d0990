"""Rules, partitions and the methods of wrappers, on generic views and viewsets."""

import pytest
from django.test import RequestFactory
from django.urls import include, path
from django.utils.decorators import method_decorator
from rest_framework import generics, serializers, viewsets
from rest_framework.decorators import action, api_view
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from cache_result import CACHE_MISSING, CacheStatus, InvalidationRule, cache_response
from cache_result.views.attach import register_marked_methods
from tests.app.models import Article, Author
from tests.responses.rest.counting import count, counts

pytestmark = pytest.mark.django_db(transaction=True)

OF_ONE = InvalidationRule(model=Author, field_mapping={"pk": "id"})
OF_AUTHOR = InvalidationRule(model=Article, field_mapping={"pk": "author_id"}, trigger_on_create=True)
OF_ALL = InvalidationRule(model=Author, trigger_on_create=True)


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ("id", "name")


class ArticleSerializer(serializers.ModelSerializer):
    class Meta:
        model = Article
        fields = ("id", "title")


class Authors(viewsets.ModelViewSet):
    queryset = Author.objects.order_by("pk")
    serializer_class = AuthorSerializer

    @cache_response(ttl=None, invalidates_on=[OF_ALL])
    def list(self, request):
        count("list")
        return super().list(request)

    @cache_response(ttl=None, invalidates_on=[OF_ONE])
    def retrieve(self, request, *args, **kwargs):
        count("retrieve")
        return super().retrieve(request, *args, **kwargs)

    @action(detail=True)
    @cache_response(
        ttl=None,
        invalidates_on=[
            InvalidationRule(model=Article, field_mapping={"pk": "author_id"}, trigger_on_create=True)
        ],
    )
    def articles(self, request, pk=None):
        count("articles")
        return Response(ArticleSerializer(Article.objects.filter(author=pk), many=True).data)

    @action(detail=True, methods=["post"])
    def renew(self, request, pk=None):
        self.retrieve(request._request, pk=pk)  # runs, as this is no GET
        self.list.refresh(request)
        return Response({"renewed": pk})


@method_decorator(cache_response(ttl=None, invalidates_on=[OF_ONE]), name="dispatch")
class Dispatched(generics.RetrieveAPIView):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer


class Retrieve(generics.RetrieveAPIView):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer
    lookup_url_kwarg = "author"


outside = cache_response(
    ttl=None, invalidates_on=[InvalidationRule(model=Author, field_mapping={"author": "id"})]
)(Retrieve.as_view())


@cache_response(ttl=None, invalidates_on=[OF_ONE])
@api_view(["GET"])
def function(request, pk):
    return Response({"run": count("function"), "name": Author.objects.get(pk=pk).name})


router = DefaultRouter()
router.register("authors", Authors)
urlpatterns = [
    path("", include(router.urls)),
    path("dispatched/<int:pk>/", Dispatched.as_view()),
    path("outside/<str:author>/", outside),
    path("function/<int:pk>/", function),
]
register_marked_methods()  # as the app does when it is ready


@pytest.fixture
def authors():
    return [Author.objects.create(name=name) for name in ("Ada", "Bob")]


@pytest.fixture
def live():
    """A view in the middle of a request."""

    def live(cls, method, path, **kwargs):
        view = cls()
        view.action_map = {"get": method}
        view.setup(RequestFactory().get(path), **kwargs)
        view.request = view.initialize_request(view.request, **kwargs)
        view.headers = view.default_response_headers
        view.initial(view.request, **kwargs)
        return view

    return live


URLS = ["/authors/{}/", "/dispatched/{}/", "/outside/{}/", "/function/{}/"]


@pytest.mark.parametrize("url", URLS)
def test_a_save_ends_the_responses_about_its_row(api, authors, url):
    ada, bob = authors
    read = lambda: [api.get(url.format(author.pk)).json()["name"] for author in authors]  # noqa: E731
    assert read() == ["Ada", "Bob"]
    Author.objects.filter(pk=ada.pk).update(name="Lovelace")
    assert read() == ["Lovelace", "Bob"]
    bob.name = "Robert"
    bob.save()
    assert read() == ["Lovelace", "Robert"]


def test_only_the_responses_about_its_row(api, authors):
    ada, bob = (f"/authors/{author.pk}/" for author in authors)
    for url in (ada, bob, ada, bob):
        api.get(url)
    assert counts["retrieve"] == 2
    authors[0].save()
    for url in (ada, bob):
        api.get(url)
    assert counts["retrieve"] == 3


def test_writes_through_the_api_are_seen_at_once(api, authors):
    names = lambda: [row["name"] for row in api.get("/authors/").json()]  # noqa: E731
    url = f"/authors/{authors[0].pk}/"
    assert names() == ["Ada", "Bob"]
    assert api.get(url).json()["name"] == "Ada"
    assert api.put(url, {"name": "Lovelace"}).status_code == 200
    assert names() == ["Lovelace", "Bob"]
    assert api.get(url).json()["name"] == "Lovelace"
    assert api.post("/authors/", {"name": "Cid"}).status_code == 201
    assert names() == ["Lovelace", "Bob", "Cid"]
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404
    assert names() == ["Bob", "Cid"]


def test_actions(api, authors):
    url = f"/authors/{authors[0].pk}/articles/"
    assert api.get(url).json() == api.get(url).json() == []
    assert counts["articles"] == 1
    Article.objects.create(author=authors[0], title="On engines")
    assert [row["title"] for row in api.get(url).json()] == ["On engines"]


def test_what_was_not_found_is_not_kept(api, authors):
    for _ in range(2):
        assert api.get("/authors/99/").json() == {"detail": "No Author matches the given query."}
        assert api.get("/authors/nobody/").status_code == 404
    assert counts["retrieve"] == 4
    Author.objects.create(pk=99, name="Zoe")
    assert api.get("/authors/99/").status_code == 200


@pytest.mark.parametrize("pk", [int, str])
def test_a_partition(api, authors, pk):
    ada, bob = (f"/authors/{author.pk}/" for author in authors)
    for url in (ada, f"{ada}?a=1", bob):
        api.get(url)
    Authors.retrieve.delete_by_prefix(pk=pk(authors[0].pk))
    for url in (ada, f"{ada}?a=1", bob):
        api.get(url)
    assert counts["retrieve"] == 5


def test_all(api, authors):
    for url in ("/authors/", f"/authors/{authors[0].pk}/"):
        api.get(url)
    Authors.retrieve.invalidate_all()
    for url in ("/authors/", f"/authors/{authors[0].pk}/"):
        api.get(url)
    assert (counts["list"], counts["retrieve"]) == (1, 2)


def test_methods_of_bound_wrappers(api, authors, live):
    pk = str(authors[0].pk)
    url = f"/authors/{pk}/"
    view = live(Authors, "retrieve", url, pk=pk)
    assert view.retrieve.get_cache_only(view.request, pk=pk) is CACHE_MISSING
    api.get(url)
    response, metadata = view.retrieve.get_with_metadata(view.request, pk=pk)
    assert metadata["cache_status"] is CacheStatus.HIT
    assert response.content == view.retrieve(view.request, pk=pk).content
    assert counts["retrieve"] == 1
    assert view.retrieve.refresh(view.request, pk=pk).data == {"id": authors[0].pk, "name": "Ada"}
    assert view.retrieve.bypass_cache(view.request, pk=pk).data["name"] == "Ada"
    assert counts["retrieve"] == 3
    assert Authors.retrieve.get_cache_key(view, view.request, pk=pk) == view.retrieve.get_cache_key(
        view.request, pk=pk
    )
    view.retrieve.delete_cache(view.request, pk=pk)
    api.get(url)
    assert counts["retrieve"] == 4
    assert Authors.retrieve.is_cached_function


def test_django_s_request_stands_for_rest_framework_s(api, authors, live):
    pk = str(authors[0].pk)
    view = live(Authors, "retrieve", f"/authors/{pk}/", pk=pk)
    api.get(f"/authors/{pk}/")
    assert view.retrieve(view.request._request, pk=pk).status_code == 200
    assert counts["retrieve"] == 1


def test_a_handler_without_dispatch_is_not_cached(authors, rf):
    """As in a unit test of the method: nobody has negotiated how to render it."""
    for number in (1, 2):
        view = Authors()
        view.setup(rf.get("/"), pk=authors[0].pk)
        view.format_kwarg = None
        assert view.retrieve(view.request, pk=authors[0].pk).data["name"] == "Ada"
        assert counts["retrieve"] == number


def test_refreshing_within_another_action_leaves_that_response_whole(api, authors):
    pk = authors[0].pk
    response = api.post(f"/authors/{pk}/renew/")
    assert response.json() == {"renewed": str(pk)}
    assert response["Allow"] == "POST, OPTIONS"
    assert "Accept" in response["Vary"].split(", ")
