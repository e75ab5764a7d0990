"""Root URLs: everything belongs to `geo`."""

from django.urls import include, path

urlpatterns = [path("", include("geo.urls"))]
