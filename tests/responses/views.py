"""The views of the tests' site. Each says how often it has run, so that hit or miss is a plain equality."""

from collections import Counter

from django.contrib import messages
from django.http import HttpResponse, HttpResponsePermanentRedirect, JsonResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.vary import vary_on_cookie, vary_on_headers
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from cache_result import QueryParamsKeyField, cache_response

runs = Counter()


def ran(name):
    runs[name] += 1
    return runs[name]


@cache_response(ttl=60, set_cache_headers=True)
def page(request, number=0):
    return HttpResponse(f"run {ran('page')} for {request.user or ''}", headers={"X-Own": "yes"})


@cache_response(ttl=60, public=True)
def public(request):
    return HttpResponse(f"run {ran('public')}")


@cache_response(ttl=60)
@vary_on_headers("X-Flavour")
def flavoured(request):
    return HttpResponse(f"run {ran('flavoured')} {request.headers.get('X-Flavour')}")


@cache_response(ttl=60)
def setting_cookie(request):
    response = HttpResponse(f"run {ran('setting_cookie')}")
    response.set_cookie("seen", "1")
    return response


@cache_response(ttl=60)
def basket(request):
    return HttpResponse(f"run {ran('basket')} basket {request.session.get('basket')}")


@cache_response(ttl=60)
def form(request):
    return TemplateResponse(request, "form.html", {"run": ran("form")})


@cache_response(ttl=60)
def template(request):
    return TemplateResponse(request, "page.html", {"run": ran("template"), "name": "all"})


@cache_response(ttl=60)
def with_messages(request):
    return TemplateResponse(request, "messages.html", {"run": ran("with_messages")})


def say(request):
    messages.info(request, "hello")
    return HttpResponse("said")


def fill_basket(request):
    request.session["basket"] = request.GET["of"]
    return HttpResponse("filled")


@cache_response(ttl=60)
def failing(request):
    return HttpResponse(f"run {ran('failing')}", status=500)


@cache_response(ttl=60)
def moved(request):
    ran("moved")
    return HttpResponsePermanentRedirect("/page/")


@cache_response(ttl=60)
def streaming(request):
    ran("streaming")
    return StreamingHttpResponse(iter([b"a", b"b"]))


@cache_response(ttl=60)
@never_cache
def never(request):
    return HttpResponse(f"run {ran('never')}")


@cache_response(ttl=60)
async def asynchronous(request):
    return JsonResponse({"run": ran("asynchronous")})


@cache_response(ttl=60)
async def async_template(request):
    return TemplateResponse(request, "page.html", {"run": ran("async_template"), "name": "all"})


@cache_response({"query": QueryParamsKeyField("*")}, ttl=60)
def posted(request):
    return HttpResponse(f"run {ran('posted')}")


@cache_response(ttl=60)
async def async_posted(request):
    return HttpResponse(f"run {ran('async_posted')}")


class Method(View):
    @cache_response(ttl=60)
    def get(self, request, pk):
        return HttpResponse(f"run {ran('Method')} pk {pk}")

    def post(self, request, pk):
        return HttpResponse("posted")


class Method2(View):
    @method_decorator(cache_response(ttl=60))
    @method_decorator(vary_on_cookie)
    def get(self, request, pk):
        return HttpResponse(f"run {ran('Method2')} pk {pk}")


@method_decorator(cache_response(ttl=60), name="dispatch")
class Dispatched(View):
    def get(self, request, pk):
        return HttpResponse(f"run {ran(type(self).__name__)} pk {pk}")

    def post(self, request, pk):
        return HttpResponse("posted", status=400 if "refuse" in request.GET else 200)


class Heir(Dispatched):
    pass


@cache_response(ttl=60)
class Whole(View):
    async def get(self, request, pk):
        return HttpResponse(f"run {ran('Whole')} pk {pk}")


class Plain(View):
    def get(self, request, pk):
        return HttpResponse(f"run {ran('Plain')} pk {pk}")


plain = cache_response(ttl=60)(Plain.as_view())


class Api(APIView):
    @cache_response(ttl=60)
    def get(self, request, pk):
        return Response({"run": ran("Api"), "pk": pk, "user": str(request.user)})

    def post(self, request, pk):
        return Response({"posted": pk})


@method_decorator(cache_response(ttl=60), name="dispatch")
class ApiDispatched(APIView):
    permission_classes = (IsAuthenticated,)

    def get(self, request, pk):
        return Response({"run": ran("ApiDispatched"), "pk": pk, "user": str(request.user)})


@cache_response(ttl=60)
class ApiWhole(APIView):
    permission_classes = (IsAuthenticated,)

    def get(self, request, pk):
        return Response({"run": ran("ApiWhole"), "pk": pk, "user": str(request.user)})


@cache_response(ttl=60)
class ApiWholeOpen(APIView):
    def get(self, request, pk):
        return Response({"run": ran("ApiWholeOpen"), "pk": pk})

    def post(self, request, pk):
        return Response({"posted": pk})


@api_view(["GET", "POST"])
@permission_classes([IsAuthenticated])
@cache_response(ttl=60)
def api_function(request, pk):
    return Response({"run": ran("api_function"), "pk": pk})


@cache_response(ttl=60)
@vary_on_cookie
@api_view(["GET"])
@permission_classes([IsAuthenticated])
def api_front(request, pk):
    return Response({"run": ran("api_front"), "pk": pk})


class Set(ViewSet):
    @cache_response(ttl=60)
    def list(self, request):
        return Response({"run": ran("list")})

    @method_decorator(cache_response(ttl=60))
    def retrieve(self, request, pk=None):
        return Response({"run": ran("retrieve"), "pk": pk})

    @action(detail=True)
    @cache_response(ttl=60)
    def stats(self, request, pk=None):
        return Response({"run": ran("stats"), "pk": pk})

    @cache_response(ttl=60)
    @action(detail=True)
    def figures(self, request, pk=None):
        return Response({"run": ran("figures"), "pk": pk})


@cache_response(ttl=60)
class WholeSet(ViewSet):
    def list(self, request):
        return Response({"run": ran("WholeSet.list")})

    def retrieve(self, request, pk=None):
        return Response({"run": ran("WholeSet.retrieve"), "pk": pk})
