"""Countries and cities, with the identifiers that GeoNames gives them."""

from django.db import models


class Country(models.Model):
    """A country; its ISO 3166 code is the primary key, so that `city.country_id` is the code."""

    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=100)
    capital = models.CharField(max_length=100, blank=True)
    continent = models.CharField(max_length=2)
    population = models.PositiveBigIntegerField()
    area_km2 = models.FloatField()

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "countries"

    def __str__(self) -> str:
        return self.name


class City(models.Model):
    """A city of at least 15,000 people; `id` is its GeoNames id, coordinates are WGS 84 degrees."""

    id = models.PositiveBigIntegerField(primary_key=True)
    country = models.ForeignKey(Country, on_delete=models.CASCADE, related_name="cities")
    name = models.CharField(max_length=200)
    latitude = models.FloatField()
    longitude = models.FloatField()
    population = models.PositiveBigIntegerField()
    timezone = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering = ("-population", "id")
        indexes = (models.Index(fields=("country", "-population"), name="city_by_population"),)
        verbose_name_plural = "cities"

    def __str__(self) -> str:
        return self.name
