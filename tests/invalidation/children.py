"""What fresh interpreters run for `test_discovery.py`."""

import sys

from tests.app.models import Author, Country


def imported(parent, *names):
    """Which of these modules has `django.setup` imported?"""
    return [name for name in names if name in sys.modules]


def rename_country(parent, code):
    """A process that never mentions the cached function."""
    Country.objects.filter(code=code).get()
    country = Country.objects.get(code=code)
    country.name = "new"
    country.save()


def add_author(parent):
    Author.objects.create()
