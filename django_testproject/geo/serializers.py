"""What the API accepts and shows."""

from decimal import Decimal

from rest_framework import serializers

from geo.models import City


class CitySerializer(serializers.ModelSerializer[City]):
    """A city; only its name and population can be changed."""

    class Meta:
        model = City
        fields = ("id", "country", "name", "population", "latitude", "longitude", "timezone")
        read_only_fields = ("id", "country", "latitude", "longitude", "timezone")


class CityFilter(serializers.Serializer[None]):
    """Query parameters of a country's cities."""

    min_population = serializers.IntegerField(min_value=0, max_value=10**9, default=0)


class PointQuery(serializers.Serializer[None]):
    """A point in degrees. Four decimals are 11 m: points that close share an entry."""

    latitude = serializers.DecimalField(max_digits=6, decimal_places=4, min_value=-90, max_value=90)
    longitude = serializers.DecimalField(max_digits=7, decimal_places=4, min_value=-180, max_value=180)
    limit = serializers.IntegerField(min_value=1, max_value=50, default=5)

    def validate_latitude(self, value: Decimal) -> float:
        return float(value)

    def validate_longitude(self, value: Decimal) -> float:
        return float(value)
