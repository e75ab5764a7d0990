"""What the client asks for beside the URL: a type, a format, a version, a page, a language."""

import pytest
from django.contrib.auth.models import User
from django.urls import include, path, re_path
from django.utils.translation import gettext
from rest_framework import filters, generics, pagination, serializers, versioning
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import (
    AdminRenderer,
    BaseRenderer,
    BrowsableAPIRenderer,
    JSONRenderer,
    TemplateHTMLRenderer,
)
from rest_framework.response import Response
from rest_framework.views import APIView

from cache_result import cache_response
from tests.app.models import Author
from tests.responses.rest.counting import count, counts

pytestmark = pytest.mark.django_db

cached = cache_response(ttl=60, set_cache_headers=True)


class CountedJSON(JSONRenderer):
    def render(self, *args, **kwargs):
        count("render")
        return super().render(*args, **kwargs)


class Text(BaseRenderer):
    media_type = "text/plain"
    format = "txt"
    charset = "iso-8859-1"

    def render(self, data, accepted_media_type=None, renderer_context=None):
        count("render")
        response = renderer_context["response"]
        response["Content-Disposition"] = 'attachment; filename="run.txt"'
        return f"{data!r} für {accepted_media_type}".encode("iso-8859-1")


class Page(TemplateHTMLRenderer):
    format = "page"
    media_type = "application/xhtml+xml"
    template_name = "page.html"


class Renderers(APIView):
    renderer_classes = (CountedJSON, Text, Page, BrowsableAPIRenderer, AdminRenderer)

    @cached
    def get(self, request, format=None):
        return Response({"run": count("run"), "name": str(request.user)}, headers={"X-Own": "yes"})

    def post(self, request, format=None):
        return Response({"posted": request.data})


@cache_response(ttl=60, public=True)
class Front(Renderers):
    get = Renderers.get.func


class Camel(JSONRenderer):
    def render(self, data, *args, **kwargs):
        return super().render({"camelCase": data}, *args, **kwargs)


class ByCase(BaseContentNegotiation):
    """Chooses among renderers of one format and type, and `Vary` says nothing of it."""

    def select_parser(self, request, parsers):
        return parsers[0]

    def select_renderer(self, request, renderers, format_suffix=None):
        renderer = renderers[1 if request.headers.get("X-Case") == "camel" else 0]
        return renderer, renderer.media_type


class Cased(APIView):
    content_negotiation_class = ByCase
    renderer_classes = (JSONRenderer, Camel)

    @cached
    def get(self, request):
        return Response({"run": count("run")})


class OneRenderer(APIView):
    renderer_classes = (JSONRenderer,)

    @cached
    def get(self, request):
        return Response({"run": count("run")}, headers={"Vary": "X-Tenant"})


class Worded(APIView):
    @cached
    def get(self, request):
        return Response({"run": count("run"), "word": gettext("Yes")})


class Versioned(APIView):
    @cached
    def get(self, request, version=None):
        count("run")
        return Response({"version": request.version})


class AcceptVersioned(Versioned):
    versioning_class = versioning.AcceptHeaderVersioning


class QueryVersioned(Versioned):
    versioning_class = versioning.QueryParameterVersioning


class PathVersioned(Versioned):
    versioning_class = versioning.URLPathVersioning


class NamespaceVersioned(Versioned):
    versioning_class = versioning.NamespaceVersioning


class HostVersioned(Versioned):
    versioning_class = versioning.HostNameVersioning


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ("id", "name")

    def to_representation(self, instance):
        count("serialize")
        return super().to_representation(instance)


class LinkPagination(pagination.PageNumberPagination):
    page_size = 1

    def get_paginated_response(self, data):
        link = f'<{self.get_next_link()}>; rel="next"'
        return Response(data, headers={"Link": link})


class Authors(generics.ListAPIView):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer
    pagination_class = LinkPagination
    filter_backends = (filters.SearchFilter, filters.OrderingFilter)
    search_fields = ("name",)
    ordering = ("id",)

    @cached
    def list(self, request, *args, **kwargs):
        count("run")
        return super().list(request, *args, **kwargs)


VIEWS = (
    Renderers,
    Front,
    Cased,
    OneRenderer,
    Worded,
    AcceptVersioned,
    QueryVersioned,
    HostVersioned,
    Authors,
)
urlpatterns = [
    *(path(f"{view.__name__}/", view.as_view()) for view in VIEWS),
    path("Renderers.<str:format>", Renderers.as_view()),
    re_path(r"^path/(?P<version>v\d)/$", PathVersioned.as_view()),
    path("v1/", include(([path("", NamespaceVersioned.as_view())], "v1"), namespace="v1")),
    path("v2/", include(([path("", NamespaceVersioned.as_view())], "v2"), namespace="v2")),
]


def told(response):
    ignored = {"Age", "X-Cache-status"}
    return response.status_code, {k: v for k, v in response.items() if k not in ignored}, response.content


@pytest.mark.parametrize(
    ("accept", "type_"),
    [
        ("application/json", "application/json"),
        ("application/json; indent=4", "application/json"),
        ("text/plain", "text/plain; charset=iso-8859-1"),
        ("application/xhtml+xml", "application/xhtml+xml; charset=utf-8"),
        ("*/*", "application/json"),
    ],
)
@pytest.mark.parametrize("view", ["Renderers", "Front"])
def test_each_type_has_its_own(api, view, accept, type_):
    types = ("application/json; indent=2", "text/plain")
    others = [api.get(f"/{view}/", HTTP_ACCEPT=other) for other in types]
    first = api.get(f"/{view}/", HTTP_ACCEPT=accept)
    before = counts.copy()
    second = api.get(f"/{view}/", HTTP_ACCEPT=accept)
    assert counts == before
    assert told(second) == told(first)
    assert first["Content-Type"] == type_
    assert first["X-Own"] == "yes"
    assert {name.strip() for name in first["Vary"].split(",")} >= {"Accept"}
    assert others[0].content != others[1].content


def test_what_a_renderer_says_in_headers_is_kept(api):
    for _ in range(2):
        response = api.get("/Renderers/", HTTP_ACCEPT="text/plain")
        assert response["Content-Disposition"] == 'attachment; filename="run.txt"'
        assert "für" in response.content.decode("iso-8859-1")
        assert response.charset == "iso-8859-1"
    assert counts == {"run": 1, "render": 1}


def test_formats_by_query_and_by_suffix(api):
    seen = {}
    for _ in range(2):
        for url in ("/Renderers/?format=json", "/Renderers/?format=txt", "/Renderers.json", "/Renderers.txt"):
            seen.setdefault(url, set()).add(api.get(url).content)
    assert [len(contents) for contents in seen.values()] == [1, 1, 1, 1]
    assert counts["run"] == 4
    assert api.get("/Renderers/?format=xml").status_code == 404


@pytest.mark.parametrize("view", ["Renderers", "Front"])
@pytest.mark.parametrize("type_", ["text/html", "text/html;q=0.9,*/*;q=0.8"])
def test_the_browsable_api_is_for_the_one_who_looks_at_it(api_of, view, type_):
    for name in ("alice", "bob", "alice"):
        page = api_of(name).get(f"/{view}/", HTTP_ACCEPT="text/html")
        assert page["Content-Type"] == "text/html; charset=utf-8"
        assert name in page.content.decode()
        assert "X-Cached-at" not in page
        assert "Age" not in page
    assert counts["run"] == 3
    assert User.objects.count() == 2


def test_the_browsable_api_does_not_get_in_the_way_of_others(api, api_of):
    api_of("alice").get("/Renderers/?format=admin")
    api.get("/Renderers/", HTTP_ACCEPT="text/html")
    runs = counts["run"]
    for _ in range(2):
        assert api.get("/Renderers/")["Content-Type"] == "application/json"
    assert counts["run"] == runs + 1


def test_renderers_of_one_format_are_told_apart(api):
    for _ in range(2):
        assert api.get("/Cased/").json() == {"run": 1}
        assert api.get("/Cased/", HTTP_X_CASE="camel").json() == {"camelCase": {"run": 2}}
    assert counts["run"] == 2


def test_vary_is_merged(api):
    for _ in range(2):
        response = api.get("/OneRenderer/", HTTP_X_TENANT="a")
        # Sessions and the language of the site are told by middleware, `Cookie` by authentication.
        assert {name.strip() for name in response["Vary"].split(",")} >= {"X-Tenant", "Accept-Language"}
        assert "Accept," not in response["Vary"]
        assert response["Allow"] == "GET, HEAD, OPTIONS"
    api.get("/OneRenderer/", HTTP_X_TENANT="b")
    assert counts["run"] == 2


def test_languages(api):
    answers = [api.get("/Worded/", HTTP_ACCEPT_LANGUAGE=code) for code in ("en", "de", "en", "de")]
    words = [answer.json()["word"] for answer in answers]
    assert words == ["Yes", "Ja", "Yes", "Ja"]
    assert counts["run"] == 2


def test_versions(api, site_of_module):
    def ask(*requests):
        counts.clear()
        versions = [api.get(url, **headers).json()["version"] for url, headers in requests * 2]
        assert counts["run"] == len(requests)
        return versions[: len(requests)]

    accept = [("/AcceptVersioned/", {"HTTP_ACCEPT": f"application/json; version=v{n}"}) for n in (1, 2)]
    assert ask(*accept) == ["v1", "v2"]
    assert ask(*((f"/QueryVersioned/?version=v{n}", {}) for n in (1, 2))) == ["v1", "v2"]
    assert ask(*((f"/path/v{n}/", {}) for n in (1, 2))) == ["v1", "v2"]
    assert ask(*((f"/v{n}/", {}) for n in (1, 2))) == ["v1", "v2"]
    hosts = [("/HostVersioned/", {"HTTP_HOST": f"v{n}.example.com"}) for n in (1, 2)]
    assert ask(*hosts) == ["v1", "v2"]


def test_pages_searches_and_orders(api):
    for name in ("Ada", "Bob", "Cid"):
        Author.objects.create(name=name)
    urls = [
        "/Authors/", "/Authors/?page=2", "/Authors/?search=Cid", "/Authors/?ordering=-name",
        "/Authors/?page=1&page=2", "/Authors/?page=2&page=1",
    ]  # fmt: skip
    names = [api.get(url).json()[0]["name"] for url in urls]
    assert names == ["Ada", "Bob", "Cid", "Cid", "Bob", "Ada"]
    before = counts.copy()
    again = [api.get(url) for url in urls]
    assert [response.json()[0]["name"] for response in again] == names
    assert counts == before
    assert again[0]["Link"] == '<http://testserver/Authors/?page=2>; rel="next"'
    assert api.get("/Authors/?page=7").status_code == 404


def test_links_name_the_host_that_was_asked(api):
    for name in ("Ada", "Bob"):
        Author.objects.create(name=name)
    for _ in range(2):
        for host in ("a.example.com", "b.example.com"):
            assert host in api.get("/Authors/", HTTP_HOST=host)["Link"]
    assert counts["run"] == 2
