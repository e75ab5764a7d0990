"""What a database holds, in plain Python: committed rows, and what two open transactions see besides."""

from typing import Any

Key = tuple[Any, ...]
"""("author", pk), ("article", pk) or ("link", label, document)."""
Row = dict[str, Any]
Rows = dict[Key, Row]
Changes = dict[Key, Row | None]
"""New rows by their keys; None is a row that goes."""

AUTHORS = DOCUMENTS = LABELS = (1, 2)
ARTICLES = (1, 2, 3)


class Truth:
    """Committed rows, and for each connection a layer of changes for every block that it is in.

    With ``one_writer``, as on SQLite, a connection may only write while the other has no transaction.
    """

    def __init__(self, *, one_writer: bool) -> None:
        self.committed: Rows = {}
        self.past: list[Rows] = []
        """What was committed before. Given to `Call.may_return` it allows what no rule forbids."""
        self._one_writer = one_writer
        self._layers: tuple[list[Changes], list[Changes]] = ([], [])
        self._touched: tuple[set[Key], set[Key]] = (set(), set())

    def view(self, connection: int) -> Rows:
        """What a statement of the connection sees now."""
        seen: dict[Key, Row | None] = dict(self.committed)
        for layer in self._layers[connection]:
            seen.update(layer)
        return {key: row for key, row in seen.items() if row is not None}

    def depth(self, connection: int) -> int:
        """In how many blocks the connection is."""
        return len(self._layers[connection])

    def may_write(self, connection: int, changes: Changes) -> bool:
        """Whether the connection could make these changes without waiting for the other one's end, and
        without breaking a foreign key."""
        other = 1 - connection
        if self._layers[other] and self._one_writer:
            return False
        after = {**self.view(connection), **changes}
        owners = {("author", row["author_id"]) for row in changes.values() if row and "author_id" in row}
        if self._layers[other] and any(key[0] == "author" and row is None for key, row in changes.items()):
            return False  # articles of the other one may refer to it
        needed = owners | changes.keys()
        return all(after.get(key) for key in owners) and self._touched[other].isdisjoint(needed)

    def write(self, connection: int, changes: Changes) -> None:
        if self._layers[connection]:
            self._layers[connection][-1].update(changes)
            self._touched[connection].update(changes)
        else:
            self._commit(changes)

    def _commit(self, changes: Changes) -> None:
        self.past.append(dict(self.committed))
        for key, row in changes.items():
            if row is None:
                self.committed.pop(key, None)
            else:
                self.committed[key] = row

    def may_begin(self, connection: int) -> bool:
        return not (self._one_writer and self._layers[1 - connection])

    def begin(self, connection: int) -> None:
        self._layers[connection].append({})

    def end(self, connection: int, *, committed: bool) -> None:
        """The innermost block ends."""
        changes = self._layers[connection].pop()
        if committed:
            self.write(connection, changes)
        if not self._layers[connection]:
            self._touched[connection].clear()


# --- what the functions return


def name_of(rows: Rows, author: int) -> str | None:
    row = rows.get(("author", author))
    return None if row is None else row["name"]


def articles_of(rows: Rows, author: int, attribute: str) -> list[str]:
    return sorted(row[attribute] for key, row in _articles(rows) if row["author_id"] == author)


def everything(rows: Rows) -> list[list[Any]]:
    return sorted([key[1], row["author_id"], row["title"]] for key, row in _articles(rows))


def labels_of(rows: Rows, document: int) -> list[int]:
    return sorted(key[1] for key in rows if key[0] == "link" and key[2] == document)


def _articles(rows: Rows) -> list[tuple[Key, Row]]:
    return [(key, row) for key, row in rows.items() if key[0] == "article"]
