"""App configuration of `geo`."""

from django.apps import AppConfig


class GeoConfig(AppConfig):
    name = "geo"
    verbose_name = "Cities of the world"
