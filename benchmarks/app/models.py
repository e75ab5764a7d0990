"""Seven fields each; what differs is which of them rules look at."""

from __future__ import annotations

from django.db import models


class Written(models.Model):
    """Something that somebody has written."""

    author_id = models.IntegerField(db_index=True)
    title = models.CharField(max_length=200)
    slug = models.SlugField()
    body = models.TextField()
    views = models.IntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title


class Article(Written):
    """Has a rule that maps `author_id`, so that old values count."""


class Page(Written):
    """Has a rule that maps the primary key alone."""


class Note(Written):
    """Has no rules."""
