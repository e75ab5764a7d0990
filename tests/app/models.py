"""Small models for the rules: relations, a proxy, a multi-table child, a UUID key and a text key."""

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Upper


class Author(models.Model):
    name = models.CharField(max_length=100)
    email = models.EmailField(blank=True)


class Writer(Author):
    """Authors under another name: no table of its own."""

    class Meta:
        proxy = True


class Remembered(Author):
    """Authors of whom each is one object, however often it is loaded."""

    loaded: ClassVar[dict[int, "Remembered"]] = {}

    class Meta:
        proxy = True

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> "Remembered":
        author = super().from_db(*args, **kwargs)
        return cls.loaded.setdefault(author.pk, author)


class Article(models.Model):
    author = models.ForeignKey(Author, on_delete=models.CASCADE)
    title = models.CharField(max_length=200)
    slug = models.SlugField(blank=True)
    reference = models.UUIDField(default=uuid.uuid4)


class Country(models.Model):
    """Named by a code that is not the primary key."""

    code = models.CharField(max_length=2, unique=True)
    name = models.CharField(max_length=100, blank=True)


class City(models.Model):
    country = models.ForeignKey(Country, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    population = models.IntegerField(default=0)


class Place(models.Model):
    name = models.CharField(max_length=100)


class Restaurant(Place):
    """A place with a table of its own beside its parent's."""

    stars = models.IntegerField(default=0)


class Document(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.CharField(max_length=100, blank=True)
    owner = models.ForeignKey(Author, on_delete=models.SET_NULL, null=True)


class Currency(models.Model):
    code = models.CharField(max_length=3, primary_key=True)
    rate = models.DecimalField(max_digits=12, decimal_places=4, default=1)


class Label(models.Model):
    """Has many documents, and they have many labels."""

    name = models.CharField(max_length=100)
    documents = models.ManyToManyField(Document, related_name="labels")


class Parcel(models.Model):
    """Its rules do work after the commit. Has a field of each kind that JSON does not know."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=100, blank=True)
    weight = models.DecimalField(max_digits=8, decimal_places=3, default=0)
    due = models.DateTimeField(null=True)
    extra = models.JSONField(default=dict)


if hasattr(models, "GeneratedField"):  # Django 5 and newer

    class Shouted(models.Model):
        """The database computes what is shown."""

        text = models.CharField(max_length=10)
        shown = models.GeneratedField(
            expression=Upper("text"),
            output_field=models.CharField(max_length=10),
            db_persist=True,
        )


class Treaty(models.Model):
    """Has countries, which its rows name by their codes."""

    name = models.CharField(max_length=100)
    countries = models.ManyToManyField(Country, through="Signature", related_name="treaties")


class Signature(models.Model):
    treaty = models.ForeignKey(Treaty, on_delete=models.CASCADE)
    country = models.ForeignKey(Country, on_delete=models.CASCADE, to_field="code")


class Guide(models.Model):
    """Has many places, some of them restaurants."""

    name = models.CharField(max_length=100)
    places = models.ManyToManyField(Place, related_name="guides")


if hasattr(models, "CompositePrimaryKey"):  # Django 5.2 and newer

    class Seat(models.Model):
        """Its key has two columns."""

        pk = models.CompositePrimaryKey("row", "number")
        row = models.CharField(max_length=2)
        number = models.IntegerField()
        taken = models.BooleanField(default=False)
