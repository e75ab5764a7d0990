"""Mixins, heirs and decorators that are not as they should be."""

import pytest
from adrf.views import APIView as AsyncAPIView
from django.test import AsyncRequestFactory
from django.urls import path
from django.utils.decorators import method_decorator
from rest_framework import generics, mixins, serializers, viewsets
from rest_framework.response import Response
from rest_framework.views import APIView

from cache_result import InvalidationRule, cache_response
from cache_result.views.attach import register_marked_methods
from tests.app.models import Author
from tests.responses.rest.counting import count, counts

pytestmark = pytest.mark.django_db(transaction=True)

cached = cache_response(ttl=60)
OF_ONE = InvalidationRule(model=Author, field_mapping={"pk": "id"})


class AuthorSerializer(serializers.ModelSerializer):
    class Meta:
        model = Author
        fields = ("id", "name")


class CachedRetrieve(mixins.RetrieveModelMixin):
    """No view itself."""

    @method_decorator(cache_response(ttl=60, invalidates_on=[OF_ONE]))
    def retrieve(self, request, *args, **kwargs):
        count("run")
        return super().retrieve(request, *args, **kwargs)


class Authors(CachedRetrieve, viewsets.GenericViewSet):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer


class Reversed(CachedRetrieve, generics.GenericAPIView):
    queryset = Author.objects.all()
    serializer_class = AuthorSerializer

    def get(self, request, *args, **kwargs):
        return self.retrieve(request, *args, **kwargs)


@cached
class Base(AsyncAPIView):
    """Does not know whether its heirs are async."""


class AsyncHeir(Base):
    async def get(self, request):
        return Response({"run": count("run")})


class SyncHeir(Base):
    def get(self, request):
        return Response({"run": count("run")})


def careless(view):
    """Keeps nothing of what it wraps."""

    def inner(request, *args, **kwargs):
        return view(request, *args, **kwargs)

    return inner


class Careless(APIView):
    @method_decorator([cached, careless])
    def get(self, request):
        return Response({"run": count("run")})


urlpatterns = [
    path("authors/<int:pk>/", Authors.as_view({"get": "retrieve"})),
    path("reversed/<int:pk>/", Reversed.as_view()),
    path("sync-heir/", SyncHeir.as_view()),
    path("careless/", Careless.as_view()),
]
register_marked_methods()  # as the app does when it is ready


def test_rules_on_mixins_are_known_before_their_first_call(api):
    """As in a process that writes before it has answered anything."""
    ada = Author.objects.create(name="Ada")
    urls = [f"/authors/{ada.pk}/", f"/reversed/{ada.pk}/"]
    decorator = CachedRetrieve.retrieve._cache_response
    assert [wrapper.rules for wrapper in decorator._wrappers.values()] == [(OF_ONE,)]
    for _ in range(2):
        assert [api.get(url).json()["name"] for url in urls] == ["Ada", "Ada"]
    assert counts["run"] == 2
    ada.name = "Lovelace"
    ada.save()
    assert [api.get(url).json()["name"] for url in urls] == ["Lovelace", "Lovelace"]
    assert len(decorator._wrappers) == 1


def test_sync_heirs(api):
    assert api.get("/sync-heir/").content == api.get("/sync-heir/").content == b'{"run":1}'


async def test_async_heirs():
    view = AsyncHeir.as_view()
    answers = [await view(AsyncRequestFactory().get("/async-heir/")) for _ in range(2)]
    assert [answer.content for answer in answers] == [b'{"run":1}'] * 2
    request = AsyncRequestFactory().get("/async-heir/")
    heir = AsyncHeir()
    heir.setup(request)
    assert (await heir.dispatch.arefresh(request)).data == {"run": 2}


def test_a_decorator_that_hides_the_method_is_named(api):
    with pytest.raises(TypeError, match=r"careless.*functools\.wraps"):
        api.get("/careless/")
