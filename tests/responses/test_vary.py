"""Responses that depend on headers of the request: one run for each variant, and one life for all of them."""

import gzip

import pytest
from django.core.cache import caches
from django.http import HttpResponse
from django.test import Client
from django.views.decorators.gzip import gzip_page
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

from cache_result import CACHE_MISSING
from cache_result.responses import steps

FLAVOURS = ["vanilla", "chocolate", "mint", None]


def asking(flavour, **headers):
    return {"headers": {**headers, **({} if flavour is None else {"X-Flavour": flavour})}}


@pytest.fixture
def flavoured(counted):
    """A view whose response depends on X-Flavour."""

    def flavoured(*names, **options):
        names = names or ("X-Flavour",)

        def answer(request):
            return " ".join(str(request.headers.get(name)) for name in names)

        return counted(answer, through=vary_on_headers(*names), **options)

    return flavoured


def body(response):
    return response.content.decode()


def test_one_run_for_each_variant(flavoured, serve):
    get = serve(flavoured())
    for _ in range(2):
        said = [body(get("/", **asking(flavour))) for flavour in FLAVOURS]
        assert said == ["run 1 vanilla", "run 2 chocolate", "run 3 mint", "run 4 None"]


def test_several_headers(flavoured, serve):
    get = serve(flavoured("X-Flavour", "X-Size"))
    for _ in range(2):
        assert body(get("/", headers={"X-Flavour": "mint", "X-Size": "L"})) == "run 1 mint L"
        assert body(get("/", headers={"X-Flavour": "mint", "X-Size": "S"})) == "run 2 mint S"
        assert body(get("/", headers={"X-Flavour": "L", "X-Size": "mint"})) == "run 3 L mint"


def test_a_header_that_is_empty_is_not_a_header_that_is_missing(flavoured, serve):
    get = serve(flavoured())
    assert body(get("/", **asking(""))) == "run 1"
    assert body(get("/", **asking(None))) == "run 2 None"
    assert body(get("/", **asking(""))) == "run 1"


@pytest.fixture
def nested(respond, serve):
    """Depends on X-A; where that is "more", on X-B too; where that is "more", on X-C."""
    runs = []

    @respond
    def view(request):
        runs.append(1)
        said, names = [], []
        for name in ("X-A", "X-B", "X-C"):
            names.append(name)
            said.append(request.headers.get(name, "-"))
            if said[-1] != "more":
                break
        return HttpResponse(f"run {len(runs)} {' '.join(said)}", headers={"Vary": ", ".join(names)})

    view.runs = runs
    serve(view)
    return view


def test_variants_of_variants(nested):
    asked = [
        ("plain", {"X-A": "a"}, "a"),
        ("other", {"X-A": "b"}, "b"),
        ("more", {"X-A": "more"}, "more -"),
        ("more b", {"X-A": "more", "X-B": "b"}, "more b"),
        ("more more", {"X-A": "more", "X-B": "more", "X-C": "c"}, "more more c"),
        ("more more d", {"X-A": "more", "X-B": "more", "X-C": "d"}, "more more d"),
    ]
    for _ in range(2):
        for run, (_, headers, said) in enumerate(asked, 1):
            assert body(Client().get("/", headers=headers)) == f"run {run} {said}"


def test_the_number_of_looks_is_bounded(respond, serve, monkeypatch):
    """Each variant depends on a header more, without an end; each request has what the earlier ones had."""
    looks, runs = [], []

    @respond
    def view(request):
        runs.append(1)
        return HttpResponse(f"run {len(runs)}", headers={"Vary": f"X-{len(runs)}"})

    look = type(view)._run
    monkeypatch.setattr(type(view), "_run", lambda self, *args: looks.append(args[0]) or look(self, *args))
    get = serve(view)
    for run in range(1, 12):
        looks.clear()
        same = {f"X-{n}": "same" for n in range(run)}
        assert body(get("/", headers={**same, f"X-{run}": str(run)})) == f"run {run}"
        assert looks == [*["get"] * min(run, steps._VARIANTS), *["bypass"] * (run > steps._VARIANTS)]


def test_vary_on_cookie(counted, serve):
    serve(counted(lambda request: request.COOKIES.get("theme", ""), through=vary_on_cookie))

    def ask(**cookies):
        client = Client()
        client.cookies.load(cookies)
        return body(client.get("/"))

    for _ in range(2):
        assert [ask(), ask(theme="dark"), ask(theme="light")] == ["run 1", "run 2 dark", "run 3 light"]


def test_secrets_in_vary_are_not_in_the_cache(counted, serve, monkeypatch):
    serve(counted(through=vary_on_headers("Cookie", "Authorization", "X-Api-Key"), public=True))
    client = Client()
    client.cookies["sessionid"] = "c00kie-s3cret"
    for secret in ("t0ken", "an0ther"):
        client.get("/", headers={"Authorization": secret, "X-Api-Key": secret})
    stored = [str(item) for item in caches["default"]._cache.items()]
    assert len(stored) > 2
    assert not any("c00kie" in item or "t0ken" in item or "an0ther" in item for item in stored)


@pytest.mark.parametrize("value", ["*", "X-Flavour, *", " * "])
def test_what_varies_by_everything_is_never_stored(counted, serve, value):
    def through(view):
        def varied(request):
            response = view(request)
            response.headers["Vary"] = value
            return response

        return varied

    get = serve(counted(through=through))
    assert [body(get("/")) for _ in range(3)] == ["run 1", "run 2", "run 3"]


def test_compressed_by_the_view(counted, serve):
    get = serve(counted(lambda request: "x" * 1000, through=gzip_page))
    for _ in range(2):
        packed, plain = get("/", headers={"Accept-Encoding": "gzip"}), get("/")
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.content).decode().startswith("run 1 x")
        assert "Content-Encoding" not in plain.headers
        assert body(plain).startswith("run 2 x")
        assert packed.headers["ETag"] != plain.headers["ETag"]


@pytest.mark.parametrize("above", ["middleware", "decorator"])
def test_compressed_above_the_cache(counted, serve, settings, above):
    view = counted(lambda request: "x" * 1000)
    if above == "middleware":
        settings.MIDDLEWARE = ["django.middleware.gzip.GZipMiddleware", *settings.MIDDLEWARE]
    get = serve(gzip_page(view) if above == "decorator" else view)
    for _ in range(2):
        packed, plain = get("/", headers={"Accept-Encoding": "gzip"}), get("/")
        assert gzip.decompress(packed.content) == plain.content
        assert body(plain).startswith("run 1 x")
        assert packed.headers["ETag"] == f"W/{plain.headers['ETag']}"


# --- one life for all variants


@pytest.fixture
def varied(flavoured, serve):
    """A view of which all variants are stored, and what it says to each."""
    view = flavoured()
    get = serve(view)

    def ask():
        return [body(get("/", **asking(flavour))) for flavour in FLAVOURS]

    assert ask() == ask() == ["run 1 vanilla", "run 2 chocolate", "run 3 mint", "run 4 None"]
    return view, ask


NEW = ["run 5 vanilla", "run 6 chocolate", "run 7 mint", "run 8 None"]


@pytest.mark.parametrize("flavour", ["vanilla", "mint", None])
def test_deleting_a_response_deletes_its_variants(varied, rf, flavour):
    view, ask = varied
    view.delete_cache(rf.get("/", **asking(flavour)))
    assert view.get_cache_only(rf.get("/", **asking("chocolate"))) is CACHE_MISSING
    assert ask() == ask() == NEW


@pytest.mark.parametrize("how", ["delete_by_prefix", "invalidate_all"])
def test_wiping_wipes_variants(varied, how):
    view, ask = varied
    getattr(view, how)()
    assert ask() == ask() == NEW


def test_variants_end_with_the_first(varied, clock):
    _, ask = varied
    clock.advance(61)
    assert ask() == ask() == NEW


def test_a_variant_that_is_younger_ends_with_the_first(flavoured, serve, clock):
    get = serve(flavoured())
    get("/", **asking("vanilla"))
    clock.advance(40)
    assert body(get("/", **asking("mint"))) == "run 2 mint"
    clock.advance(30)
    assert body(get("/", **asking("mint"))) == "run 3 mint"


def test_refreshing_one_takes_the_others_along(varied, rf):
    view, ask = varied
    assert body(view.refresh(rf.get("/", **asking("mint")))) == "run 5 mint"
    assert ask() == ["run 6 vanilla", "run 7 chocolate", "run 5 mint", "run 8 None"]
    assert ask() == ["run 6 vanilla", "run 7 chocolate", "run 5 mint", "run 8 None"]
