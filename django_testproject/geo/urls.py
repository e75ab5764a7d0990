"""URLs of the demo."""

from django.urls import path, register_converter

from geo import views


class CountryCode:
    """Two letters in any case; views get upper case, so that `de` and `DE` are one cache entry."""

    regex = "[A-Za-z]{2}"

    def to_python(self, value: str) -> str:
        return value.upper()

    def to_url(self, value: str) -> str:
        return value


register_converter(CountryCode, "country_code")

urlpatterns = [
    path("", views.index, name="index"),
    path("api/countries/", views.CountriesView.as_view(), name="countries"),
    path(
        "api/countries/<country_code:code>/cities/", views.CountryCitiesView.as_view(), name="country-cities"
    ),
    path(
        "api/countries/<country_code:code>/distances/",
        views.CountryDistancesView.as_view(),
        name="country-distances",
    ),
    path(
        "api/countries/<country_code:code>/nearest/",
        views.NearestCitiesView.as_view(),
        name="country-nearest",
    ),
    path("api/cities/<int:pk>/", views.CityView.as_view(), name="city"),
    path("api/executions/", views.ExecutionsView.as_view(), name="executions"),
]
