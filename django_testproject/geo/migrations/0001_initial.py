"""Countries and cities."""
# ruff: noqa: RUF012 - Django reads plain class attributes

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Country",
            fields=[
                ("code", models.CharField(max_length=2, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100)),
                ("capital", models.CharField(blank=True, max_length=100)),
                ("continent", models.CharField(max_length=2)),
                ("population", models.PositiveBigIntegerField()),
                ("area_km2", models.FloatField()),
            ],
            options={
                "verbose_name_plural": "countries",
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="City",
            fields=[
                ("id", models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("latitude", models.FloatField()),
                ("longitude", models.FloatField()),
                ("population", models.PositiveBigIntegerField()),
                ("timezone", models.CharField(blank=True, max_length=40)),
                (
                    "country",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="cities", to="geo.country"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "cities",
                "ordering": ("-population", "id"),
                "indexes": [models.Index(fields=["country", "-population"], name="city_by_population")],
            },
        ),
    ]
