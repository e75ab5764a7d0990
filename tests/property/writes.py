"""The state machine whole: every way to write that Django has."""

import uuid
from typing import Any

from django.db import connection, models
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from cache_result import invalidate_for
from tests.app.models import Article, Author, Document, Label
from tests.property.cached import document_key
from tests.property.histories import Around, Histories, connections, step
from tests.property.truth import ARTICLES, AUTHORS, DOCUMENTS, LABELS, Changes, Rows

authors = st.sampled_from(AUTHORS)
articles = st.sampled_from(ARTICLES)
labels = st.sampled_from(LABELS)
documents = st.sampled_from(DOCUMENTS)
some_articles = st.lists(articles, min_size=1, unique=True)
FIELDS = ("author_id", "title", "slug")


def article(author: int, title: str, slug: str = "") -> dict[str, Any]:
    return {"author_id": author, "title": title, "slug": slug}


def is_there(rows: Rows, pk: int) -> bool:
    return ("article", pk) in rows


class Writes(Histories):
    # --- authors

    @step(author=authors)
    def rename(self, me, around, author):
        name = self.text()

        def act():
            row = Author.objects.get(pk=author)
            row.name = name
            row.save()

        key = ("author", author)
        self.write(me, around, lambda rows: {key: {"name": name}} if key in rows else None, act)
        if self.truth.committed.get(key) == {"name": name}:
            for call in self.calls:
                if call.rewarmed and call.arguments == (author,):
                    assert call.peek() == name, f"{call} was not refreshed after the change"

    @step(author=authors, way=st.sampled_from(("create", "save", "update_or_create", "bulk_create")))
    def create_an_author(self, me, around, author, way):
        name = self.text()
        ways = {
            "create": lambda: Author.objects.create(pk=author, name=name),
            "save": lambda: Author(pk=author, name=name).save(),
            "update_or_create": lambda: Author.objects.update_or_create(pk=author, defaults={"name": name}),
            "bulk_create": lambda: Author.objects.bulk_create([Author(pk=author, name=name)]),
        }
        key, anew = ("author", author), way in {"create", "bulk_create"}
        self.write(
            me, around, lambda rows: None if anew and key in rows else {key: {"name": name}}, ways[way]
        )

    @step(author=authors, way=st.sampled_from(("instance", "queryset")))
    def delete_an_author(self, me, around, author, way):
        """With the articles."""

        def plan(rows: Rows) -> Changes | None:
            if ("author", author) not in rows:
                return None
            gone = [k for k, row in rows.items() if k[0] == "article" and row["author_id"] == author]
            return dict.fromkeys([*gone, ("author", author)])

        ways = {
            "instance": lambda: Author.objects.get(pk=author).delete(),
            "queryset": lambda: Author.objects.filter(pk=author).delete(),
        }
        self.write(me, around, plan, ways[way])

    # --- articles, one by one

    @step(author=authors, pk=articles, way=st.sampled_from(("create", "save")))
    def create_an_article(self, me, around, author, pk, way):
        """Saved by hand it may take the place of one that nobody has loaded."""
        title = self.text()

        def act():
            new = Article(pk=pk, author_id=author, title=title)
            new.save(force_insert=way == "create")

        def plan(rows: Rows) -> Changes | None:
            taken = way == "create" and is_there(rows, pk)
            return None if taken else {("article", pk): article(author, title)}

        self.write(me, around, plan, act)

    @step(pk=articles, author=authors, fields=st.sampled_from((None, ["author"], ["author", "title"])))
    def move_one(self, me, around, pk, author, fields):
        """Loaded, changed and saved at once, as most code does."""
        key, title = ("article", pk), self.text()

        def act():
            row = Article.objects.get(pk=pk)
            row.author_id, row.title = author, title
            row.save(update_fields=fields)

        def plan(rows: Rows) -> Changes | None:
            new = {"author_id": author} if fields == ["author"] else {"author_id": author, "title": title}
            return {key: {**rows[key], **new}} if key in rows else None

        self.write(me, around, plan, act)

    LOADS = ("get", "only", "defer", "by hand")

    @precondition(lambda self: len(self.held) < 3)
    @rule(me=connections, pk=articles, how=st.sampled_from(LOADS))
    def hold(self, me, pk, how):
        """An instance that is going to be saved, now or much later, by whichever connection."""
        if not is_there(self.truth.view(me), pk):
            return
        loads = {
            "get": lambda: Article.objects.get(pk=pk),
            "only": lambda: Article.objects.only("title").get(pk=pk),
            "defer": lambda: Article.objects.defer("author").get(pk=pk),
            "by hand": lambda: Article(pk=pk, author_id=AUTHORS[0], title="by hand"),
        }
        self.held.append(self.workers[me](loads[how]))

    @precondition(lambda self: self.held)
    @step(
        place=st.integers(0, 2),
        author=st.none() | authors,
        slug=st.booleans(),
        fields=st.sampled_from((None, None, ("author",), ("author_id", "title"), ("slug",))),
    )
    def save_what_is_held(self, me, around, place, author, slug, fields):
        held = self.held[place % len(self.held)]
        held.title = self.text()
        if author is not None:
            held.author_id = author
        if slug:
            held.slug = self.text()
        given = {name.replace("author_id", "author").replace("author", "author_id") for name in fields or ()}
        loaded = {name: getattr(held, name) for name in FIELDS if name in vars(held)}
        pk, whole = held.pk, fields is None and not held.get_deferred_fields()

        def plan(rows: Rows) -> Changes | None:
            written = {name: value for name, value in loaded.items() if fields is None or name in given}
            if ("article", pk) not in rows:
                return {("article", pk): written} if whole else None
            return {("article", pk): {**rows["article", pk], **written}} if written else None

        self.write(me, around, plan, lambda: held.save(update_fields=fields))

    @rule(
        me=connections,
        pk=articles,
        how=st.sampled_from(LOADS),
        between=st.sampled_from(("nothing", "move_one", "update", "rolled back")),
        authors=st.permutations(AUTHORS),
        fields=st.sampled_from((None, ("author",))),
    )
    def save_after_something(self, me, pk, how, between, authors, fields):
        """What is loaded is outdated when it is saved, or back to what it was, or not known at all."""
        self.held.clear()
        self.hold(me, pk, how)
        here, there = authors
        if between == "move_one":
            self.move_one(me, Around(), pk, there, None)
        elif between == "update":
            self.move_some(me, Around(), [pk], there, "update")
        elif between == "rolled back" and self.held:
            self.save_what_is_held(me, Around(True, "savepoint", False), 0, there, False, None)
        if self.held:
            again = there if between == "rolled back" else here
            self.save_what_is_held(me, Around(), 0, again, False, fields)

    @precondition(lambda self: self.held)
    @rule(
        me=connections,
        place=st.integers(0, 2),
        fields=st.sampled_from((None, ["author"], ["title"], "deferred", "forget")),
    )
    def refresh_what_is_held(self, me, place, fields):
        held = self.held[place % len(self.held)]
        if fields == "forget":
            self.held.remove(held)
        elif not is_there(self.truth.view(me), held.pk):
            pass
        elif fields == "deferred":
            assert self.workers[me](lambda: held.author_id) in AUTHORS
        else:
            self.workers[me](lambda: held.refresh_from_db(fields=fields))

    @precondition(lambda self: self.held)
    @step(place=st.integers(0, 2))
    def delete_what_is_held(self, me, around, place):
        """However old it is, and whatever is unsaved in it."""
        held = self.held[place % len(self.held)]
        key = ("article", held.pk)

        def act():
            held.delete()
            self.held.remove(held)

        # One that was built by hand and never saved is deleted all the same.
        self.write(me, around, lambda rows: {key: None} if key in rows else None, act)

    # --- articles, many at once

    @step(author=authors, to=authors, way=st.sampled_from(("move", "title", "delete")))
    def all_of_an_author(self, me, around, author, to, way):
        title = self.text()

        def plan(rows: Rows) -> Changes | None:
            mine = {k: row for k, row in rows.items() if k[0] == "article" and row["author_id"] == author}
            new = {"move": {"author_id": to}, "title": {"title": title}, "delete": None}[way]
            return {key: None if new is None else {**row, **new} for key, row in mine.items()}

        def act():
            rows = Article.objects.filter(author=author)
            {
                "move": lambda: rows.update(author=to),
                "title": lambda: rows.update(title=models.Value(title)),
                "delete": rows.delete,
            }[way]()

        self.write(me, around, plan, act)

    @step(pks=some_articles, author=authors, way=st.sampled_from(("update", "bulk_update", "raw SQL")))
    def move_some(self, me, around, pks, author, way):
        def act():
            if way == "update":
                Article.objects.filter(pk__in=pks).update(author=author)
            elif way == "bulk_update":
                rows = list(Article.objects.filter(pk__in=pks))
                for row in rows:
                    row.author_id = author
                Article.objects.bulk_update(rows, ["author"])
            else:
                with connection.cursor() as cursor:
                    for pk in pks:
                        cursor.execute("UPDATE app_article SET author_id = %s WHERE id = %s", [author, pk])
                invalidate_for(Article)

        def plan(rows: Rows) -> Changes | None:
            keys = [("article", pk) for pk in pks]
            return {key: {**rows[key], "author_id": author} for key in keys if key in rows}

        self.write(me, around, plan, act)

    @step(pks=some_articles, author=authors, way=st.sampled_from(("insert", "upsert")))
    def create_some(self, me, around, pks, author, way):
        """An upsert overwrites the rows that are there."""
        title = self.text()
        upsert = {"update_conflicts": True, "unique_fields": ["id"], "update_fields": ["author", "title"]}

        def act():
            rows = [Article(pk=pk, author_id=author, title=title, reference=uuid.uuid4()) for pk in pks]
            Article.objects.bulk_create(rows, **(upsert if way == "upsert" else {}))

        def plan(rows: Rows) -> Changes | None:
            olds = {pk: rows.get(("article", pk), {"slug": ""}) for pk in pks}
            if way == "insert" and any(is_there(rows, pk) for pk in pks):
                return None
            return {("article", pk): article(author, title, old["slug"]) for pk, old in olds.items()}

        self.write(me, around, plan, act)

    # --- relations

    @step(document=documents, label=labels, way=st.sampled_from(("add", "remove")), back=st.booleans())
    def link(self, me, around, document, label, way, back):
        key = ("link", label, document)

        def act():
            row, other = Document(pk=document_key(document)), Label(pk=label)
            end, far = (other.documents, row) if back else (row.labels, other)
            getattr(end, way)(far)

        def plan(rows: Rows) -> Changes | None:
            return {key: {} if way == "add" else None} if (key in rows) == (way == "remove") else None

        self.write(me, around, plan, act)

    @step(document=documents, among=st.lists(labels, unique=True), way=st.sampled_from(("set", "clear")))
    def link_all(self, me, around, document, among, way):
        def act():
            row = Document(pk=document_key(document))
            row.labels.set(among) if way == "set" else row.labels.clear()

        self.write(
            me,
            around,
            lambda rows: {
                ("link", label, document): {} if way == "set" and label in among else None for label in LABELS
            },
            act,
        )

    @step(label=labels, among=st.lists(documents, unique=True), way=st.sampled_from(("set", "clear")))
    def link_all_back(self, me, around, label, among, way):
        def act():
            row = Label(pk=label)
            row.documents.set(map(document_key, among)) if way == "set" else row.documents.clear()

        self.write(
            me,
            around,
            lambda rows: {
                ("link", label, document): {} if way == "set" and document in among else None
                for document in DOCUMENTS
            },
            act,
        )
