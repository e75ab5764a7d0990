"""Class views: on the class, on dispatch, on a method, on what as_view() makes; heirs and generic views."""

import itertools
import warnings

import django
import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.vary import vary_on_headers
from django.views.generic import DetailView, ListView, RedirectView, TemplateView

from cache_result import CACHE_MISSING, cache_response
from cache_result.exceptions import CacheResultWarning
from tests.app.models import Author
from tests.responses import views


@pytest.fixture
def pages(serve):
    """`ask = pages(View.as_view())`: `ask(pk=1, method="get", **headers)` says the body or the status."""

    def pages(view):
        get = serve(view, "view/<int:pk>/")

        def ask(pk=1, method="get", **headers):
            response = getattr(get.__self__, method)(f"/view/{pk}/", headers=headers)
            return response.content.decode() if response.status_code == 200 else response.status_code

        return ask

    return pages


class Counting(View):
    """Its subclasses say which run of theirs a response is from."""

    runs = None
    word = "run"

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.runs = itertools.count(1)

    def get(self, request, pk):
        return HttpResponse(f"{self.word} {next(self.runs)} pk {pk}")

    def post(self, request, pk):
        return HttpResponse("posted")


class AsyncCounting(Counting):
    async def get(self, request, pk):
        return super().get(request, pk)

    async def post(self, request, pk):
        return HttpResponse("posted")


def on_class(base, decorator):
    class Page(base):
        pass

    return decorator(Page)


def on_method(base, decorator):
    class Page(base):
        get = decorator(base.get)

    return Page


def on_method_by_method_decorator(base, decorator):
    class Page(base):
        get = method_decorator(decorator)(base.get)

    return Page


def in_a_list(base, decorator):
    class Page(base):
        pass

    return method_decorator([decorator, vary_on_headers("X-Name")], name="get")(Page)


def on_named_dispatch(base, decorator):
    class Page(base):
        pass

    return method_decorator(decorator, name="dispatch")(Page)


def on_named_method(base, decorator):
    class Page(base):
        pass

    return method_decorator(decorator, name="get")(Page)


def on_own_dispatch(base, decorator):
    class Page(base):
        def dispatch(self, request, *args, **kwargs):
            return super().dispatch(request, *args, **kwargs)

    Page.dispatch = method_decorator(decorator)(Page.dispatch)
    return Page


# Before Django 5, method_decorator makes plain methods of async ones.
TAKE_ASYNC = django.VERSION >= (5, 0)

WAYS = [on_class, on_method, on_method_by_method_decorator, on_named_dispatch, on_named_method]


@pytest.mark.parametrize(
    ("base", "way"),
    [
        (base, way)
        for base in (Counting, AsyncCounting)
        for way in WAYS
        if TAKE_ASYNC or base is Counting or way in (on_class, on_method, on_named_dispatch)
    ],
)
def test_ways(base, pages, respond, way):
    ask = pages(way(base, respond()).as_view())
    for _ in range(2):
        assert ask(1) == "run 1 pk 1"
        assert ask(2) == "run 2 pk 2"
        assert ask(1, "put") == 405
        ask(1, "options")
    assert ask(1, "post") == "posted"
    seen = way in (on_class, on_named_dispatch)  # the others are about `get` alone
    assert ask(1) == ("run 3 pk 1" if seen else "run 1 pk 1")
    assert ask(2) == "run 2 pk 2"


def test_dispatch_of_the_class_itself(pages, respond):
    ask = pages(on_own_dispatch(Counting, respond()).as_view())
    assert [ask(1), ask(2), ask(1), ask(1, "post")] == ["run 1 pk 1", "run 2 pk 2", "run 1 pk 1", "posted"]


@pytest.mark.parametrize("base", [Counting, AsyncCounting])
def test_outside_of_as_view(base, pages, respond):
    class Page(base):
        pass

    ask = pages(respond()(Page.as_view()))
    assert [ask(1), ask(2), ask(1), ask(1, "post")] == ["run 1 pk 1", "run 2 pk 2", "run 1 pk 1", "posted"]


def test_a_list_of_decorators_below(pages, respond):
    ask = pages(in_a_list(AsyncCounting if TAKE_ASYNC else Counting, respond()).as_view())
    assert [ask(1, **{"X-Name": name}) for name in ("a", "b", "a")] == [
        "run 1 pk 1",
        "run 2 pk 1",
        "run 1 pk 1",
    ]


def test_initkwargs(respond, settings):
    class Page(Counting):
        pass

    decorated = respond()(Page)
    settings.ROOT_URLCONF = (
        path("a/<int:pk>/", decorated.as_view(word="first")),
        path("b/<int:pk>/", decorated.as_view(word="second")),
    )
    said = [Client().get(url).content.decode() for url in ("/a/1/", "/b/1/", "/a/1/", "/b/1/")]
    assert said == ["first 1 pk 1", "second 2 pk 1"] * 2


@pytest.mark.parametrize("way", WAYS)
def test_heirs(respond, settings, way):
    parent = way(Counting, respond())

    class Heir(parent):
        word = "heir"

    class Own(parent):
        def get(self, request, pk):
            return HttpResponse(f"own {next(self.runs)}")

    settings.ROOT_URLCONF = tuple(
        path(f"{name}/<int:pk>/", view.as_view()) for name, view in (("p", parent), ("h", Heir), ("o", Own))
    )
    get = Client().get
    for _ in range(2):
        assert get("/p/1/").content == b"run 1 pk 1"
        assert get("/h/1/").content == b"heir 1 pk 1"
    said = [get("/o/1/").content for _ in range(2)]
    of_get = way in (on_method, on_method_by_method_decorator, on_named_method)
    assert said == ([b"own 1", b"own 2"] if of_get else [b"own 1"] * 2)


def test_an_async_heir_of_a_plain_class(pages, respond):
    class Heir(on_class(Counting, respond())):
        async def get(self, request, pk):
            return HttpResponse(f"run {next(self.runs)} of the heir")

        async def post(self, request, pk):
            return HttpResponse("posted")

    ask = pages(Heir.as_view())
    assert [ask(), ask(), ask(1, "post")] == ["run 1 of the heir"] * 2 + ["posted"]


def test_the_parent_is_not_decorated(pages, respond):
    on_class(Counting, respond())
    ask = pages(type("Other", (Counting,), {}).as_view())
    assert [ask(), ask()] == ["run 1 pk 1", "run 2 pk 1"]
    assert View.dispatch is Counting.dispatch


def test_methods_of_a_method_decorated(respond, rf):
    page = on_method(Counting, respond())
    request = rf.get("/view/1/")
    assert page.get.get_cache_only(page(), request, pk=1) is CACHE_MISSING
    assert page.as_view()(request, pk=1).content == b"run 1 pk 1"
    assert page().get.get_cache_only(request, pk=1).content == b"run 1 pk 1"
    assert page.get.refresh(page(), request, pk=1).content == b"run 2 pk 1"
    page.get.delete_cache(page(), request, pk=1)
    assert page.as_view()(request, pk=1).content == b"run 3 pk 1"
    page.get.delete_by_prefix(pk=1)
    assert page.as_view()(request, pk=1).content == b"run 4 pk 1"
    page.get.invalidate_all()
    assert page.as_view()(request, pk=1).content == b"run 5 pk 1"


def test_methods_of_a_decorated_class(respond, rf):
    page = on_class(Counting, respond())
    view = page.as_view()
    request = rf.get("/view/1/")
    assert [view(request, pk=1).content for _ in range(2)] == [b"run 1 pk 1"] * 2
    page.dispatch.invalidate_all()
    assert view(request, pk=1).content == b"run 2 pk 1"
    page.dispatch.delete_cache(page(), request, pk=1)
    assert view(request, pk=1).content == b"run 3 pk 1"


# --- generic views


def test_template_view(serve, respond):
    @respond
    class Page(TemplateView):
        template_name = "page.html"
        runs = itertools.count(1)

        def get_context_data(self, **kwargs):
            return super().get_context_data(run=next(self.runs), name="all", **kwargs)

    get = serve(Page.as_view())
    assert [get("/").content for _ in range(2)] == [b"run 1 for all"] * 2
    get = serve(Page.as_view(extra_context={"more": 1}))
    assert get("/other/").content == b"run 2 for all"


@pytest.mark.django_db
def test_list_and_detail_view(respond, settings):
    class List(ListView):
        model = Author
        template_name = "page.html"
        runs = itertools.count(1)

        @respond
        def get(self, request, *args, **kwargs):
            return super().get(request, *args, **kwargs)

        def get_context_data(self, **kwargs):
            return super().get_context_data(run=next(self.runs), name=len(self.get_queryset()), **kwargs)

    @method_decorator(respond(), name="dispatch")
    class Detail(DetailView):
        model = Author
        template_name = "page.html"
        runs = itertools.count(1)

        def get_context_data(self, **kwargs):
            return super().get_context_data(run=next(self.runs), name=self.object.name, **kwargs)

    settings.ROOT_URLCONF = (path("", List.as_view()), path("<int:pk>/", Detail.as_view()))
    authors = [Author.objects.create(name=name) for name in ("a", "b")]
    get = Client().get
    for _ in range(2):
        assert get("/").content == b"run 1 for 2"
        assert [get(f"/{author.pk}/").content for author in authors] == [b"run 1 for a", b"run 2 for b"]
        assert get("/0/").status_code == 404


@pytest.mark.parametrize("permanent", [True, False])
def test_redirect_view(serve, respond, permanent):
    class Moved(RedirectView):
        pass

    get = serve(respond()(Moved.as_view(url="/elsewhere/", permanent=permanent)))
    responses = [get("/") for _ in range(2)]
    assert [response.url for response in responses] == ["/elsewhere/"] * 2
    assert ("Age" in responses[1].headers) is permanent


# --- names


def test_views_of_the_project_have_stable_names():
    assert views.Method.get.function_id == "tests.responses.views.Method.get"
    assert views.Whole.dispatch.function_id == "tests.responses.views.Whole.dispatch"
    assert views.plain.function_id == "tests.responses.views.Plain.as_view"
    assert views.page.function_id == "tests.responses.views.page"


def test_local_views_that_capture_warn_as_functions_do():
    captured = itertools.count(1)
    with pytest.warns(CacheResultWarning, match="in this process only"):

        @cache_response
        def view(request):
            return HttpResponse(str(next(captured)))

    with pytest.warns(CacheResultWarning, match="in this process only"):

        @cache_response
        class Local(View):
            def get(self, request):
                return HttpResponse(str(next(captured)))

    assert "~" in view.function_id
    assert "~" in Local.dispatch.function_id


def test_no_parentheses(rf):
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        @cache_response
        def no_parentheses(request):
            return HttpResponse("page")

    request = rf.get("/")
    no_parentheses(request)
    assert "Age" in no_parentheses(request).headers
    no_parentheses.invalidate_all()


def test_what_a_view_is_made_of_survives():
    @cache_response
    def view(request):
        """Says something."""

    view.csrf_exempt = True
    assert (view.__name__, view.__doc__, view.__module__) == ("view", "Says something.", __name__)
    assert view.is_cached_function
    assert view.__wrapped__ is view.func
    assert view.csrf_exempt
