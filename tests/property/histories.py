"""Random histories of two connections, step by step, against a model that always knows the truth.

After each step nothing that is cached differs from what is committed, nor from what a caller's own
transaction sees; and a call returns what its connection's view of the database says. Connections never
wait for each other's locks: a step that would is left out.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from django.core.cache import caches
from django.db import IntegrityError, connection
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cache_result import CACHE_MISSING
from tests.app.models import Article, Author, Document, Label
from tests.property.cached import Call, document_key
from tests.property.truth import ARTICLES, AUTHORS, DOCUMENTS, LABELS, Changes, Rows, Truth
from tests.property.worker import KINDS, Worker
from tests.waiting import Gate, Outcome

connections = st.sampled_from((0, 1))


@dataclass(frozen=True)
class Around:
    """What happens around a write."""

    fill: bool = True
    """Before it everything is called by the other connection, so that it is cached; else what has no rule is
    called after it by the writer."""
    kind: str | None = None
    """The block that it is alone in, if any."""
    committed: bool = True


def step(**strategies: Any) -> Any:
    """A rule of a connection that writes."""
    kinds = st.sampled_from((None, "atomic", "savepoint"))
    around = st.builds(Around, fill=st.booleans(), kind=kinds, committed=st.booleans())
    return rule(me=connections, around=around, **strategies)


class Histories(RuleBasedStateMachine):
    """The connections, the truth, and what can be done to transactions and entries. A subclass that
    `bound_to` makes has the first three."""

    calls: ClassVar[list[Call]]
    workers: ClassVar[list[Worker]]
    alias: ClassVar[str]

    @initialize()
    def start(self) -> None:
        self.number = 0
        self.truth = Truth(one_writer=connection.vendor == "sqlite")
        self.held: list[Article] = []
        self.filling: tuple[Gate, Outcome] | None = None
        self.empty_the_tables()
        Document.objects.bulk_create(Document(pk=document_key(number)) for number in DOCUMENTS)
        Label.objects.bulk_create(Label(pk=number) for number in LABELS)
        Author.objects.bulk_create(Author(pk=pk, name="first") for pk in AUTHORS)
        Article.objects.bulk_create(
            Article(pk=pk, author_id=AUTHORS[0], title="first") for pk in ARTICLES[:2]
        )
        self.truth.committed = {("author", pk): {"name": "first"} for pk in AUTHORS}
        for pk in ARTICLES[:2]:
            row = {"author_id": AUTHORS[0], "title": "first", "slug": ""}
            self.truth.committed["article", pk] = row
        caches[self.alias].clear()

    @staticmethod
    def empty_the_tables() -> None:
        for table in ("app_label_documents", "app_label", "app_document", "app_article", "app_author"):
            with connection.cursor() as cursor:
                cursor.execute(f"DELETE FROM {table}")

    def teardown(self) -> None:
        if not hasattr(self, "filling"):
            return
        self.land()
        for me in (0, 1):
            while self.workers[me].blocks:
                self.workers[me](lambda me=me: self.workers[me].leave("error"))

    def text(self) -> str:
        """A value that never was."""
        self.number += 1
        return str(self.number)

    # --- reading

    def read(self, me: int, calls: list[Call]) -> None:
        view = self.truth.view(me)
        returned = self.workers[me](lambda: [call.run() for call in calls])
        for call, value in zip(calls, returned, strict=True):
            views = [view] if call.ruled else [view, self.truth.committed, *self.truth.past]
            assert call.may_return(value, *views), f"connection {me}: {call} returned {value}"

    @rule(me=connections)
    def read_everything(self, me: int) -> None:
        self.read(me, self.calls)

    @rule(me=connections, place=st.integers(0, 100))
    def read_one(self, me: int, place: int) -> None:
        self.read(me, [self.calls[place % len(self.calls)]])

    @precondition(lambda self: self.filling is None)
    @rule(place=st.integers(0, 100))
    def begin_a_fill(self, place: int) -> None:
        """A third connection reads, and hesitates to store what it has read."""
        calls = [call for call in self.calls if call.may_hesitate]
        call, gate = calls[place % len(calls)], Gate()
        self.filling = gate, self.workers[2].start(lambda: call.refresh(gate))
        gate.wait_until_reached()

    @precondition(lambda self: self.filling is not None)
    @rule()
    def land(self) -> None:
        if self.filling is not None:
            gate, filling = self.filling
            self.filling = None
            gate.open()
            filling.result()

    @invariant()
    def what_is_stored_is_true(self) -> None:
        if not hasattr(self, "filling"):
            return
        self._look("nobody", [call.peek() for call in self.calls], self.truth.committed)
        for me in (0, 1):
            found = self.workers[me](lambda: [call.peek() for call in self.calls])
            self._look(f"connection {me}", found, self.truth.committed, self.truth.view(me))

    def _look(self, who: str, found: list[Any], *views: Rows) -> None:
        for call, value in zip(self.calls, found, strict=True):
            if value is not CACHE_MISSING:
                past = () if call.ruled else (*self.truth.past, self.truth.committed)
                assert call.may_return(value, *(past or views)), f"{who}: {value} is stored for {call}"

    # --- transactions

    @rule(me=connections, kind=st.sampled_from(sorted(KINDS)))
    def begin(self, me: int, kind: str) -> None:
        self.enter(me, kind)

    def enter(self, me: int, kind: str) -> bool:
        """Enters a block, if that is possible; returns whether it was."""
        worker = self.workers[me]
        outermost = not worker.blocks
        if outermost and kind == "savepoint":
            kind = "atomic"
        if not outermost and (kind == "manual" or type(worker.blocks[0]) is KINDS["manual"]):
            return False
        if not self.truth.may_begin(me) or len(worker.blocks) > 3:
            return False
        for call in self.calls:
            if outermost and not call.ruled:
                call.function.delete_cache(*call.arguments)  # else it would be a hit for ever
        worker(lambda: worker.enter(kind))
        self.truth.begin(me)
        return True

    @rule(me=connections, fill=st.booleans(), ending=st.integers(0, 5))
    def end(self, me: int, fill: bool, ending: int) -> None:
        me = me if self.workers[me].blocks else 1 - me
        if not self.workers[me].blocks:
            return
        if fill:
            self.read(1 - me, self.calls)
        endings = self.workers[me].blocks[-1].endings
        # Commits are half of them.
        self.leave(me, "commit" if ending % 2 else endings[ending % len(endings)])

    def leave(self, me: int, how: str) -> None:
        """Leaves the innermost block. Right after the COMMIT of the outermost, before the committer can do
        anything else, the other connection reads."""
        worker = self.workers[me]
        if how != "commit" or len(worker.blocks) > 1:
            worker(lambda: worker.leave(how))
            self.truth.end(me, committed=how == "commit")
            return

        def committed() -> None:
            self.truth.end(me, committed=True)
            self.read(1 - me, self.calls)

        worker(lambda: worker.leave(how, committed))

    @rule(me=connections)
    def fail_to_commit(self, me: int) -> None:
        """Foreign keys are checked at COMMIT."""
        worker = self.workers[me]
        if len(worker.blocks) != 1 or type(worker.blocks[0]) is not KINDS["atomic"]:
            return
        worker(lambda: Article.objects.create(pk=ARTICLES[-1] + 1, author_id=AUTHORS[-1] + 1))
        try:
            worker(lambda: worker.leave("commit"))
        except IntegrityError:
            self.truth.end(me, committed=False)
        else:
            raise AssertionError("the transaction has committed")

    # --- writing

    def write(self, me: int, around: Around, plan: Any, action: Any) -> None:
        """Does it on one connection or the other, if the plan, given the view, says what will change."""
        for each in (me, 1 - me):
            changes: Changes | None = plan(self.truth.view(each))
            if changes and self.truth.may_write(each, changes):
                self._write(each, around, changes, action)
                return

    def _write(self, me: int, around: Around, changes: Changes, action: Any) -> None:
        inside = around.kind is not None and self.enter(me, around.kind)
        if around.fill:
            self.read(1 - me, self.calls)
        self.workers[me](action)
        self.truth.write(me, changes)
        if not around.fill:
            self.read(me, [call for call in self.calls if not call.ruled])
        if inside:
            self.what_is_stored_is_true()
            self.leave(me, "commit" if around.committed else "error")
