"""Reads the shape of a statement: which values it pins columns to, assigns, or inserts.

Only forms whose meaning is beyond doubt are read, those that Django's compilers write among them; any
other statement is None, and counts as one that may reach every row of its table.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

UNKNOWN: Final = object()
"""A value that an expression decides, or the database."""

_PART = r'"[^"%]+"|`[^`%]+`|[A-Za-z_][\w$]*'
_TOKEN = re.compile(
    r"\s+|(?P<list>\(\s*%s(?:\s*,\s*%s)*\s*\))|(?P<param>%s)"
    rf"|(?P<word>ESCAPE\s+'\\'|[A-Za-z_][\w$]*(?![\w$]|\s*\.))|(?P<name>(?:{_PART})(?:\s*\.\s*(?:{_PART}))*)"
    r"|(?P<open>\()|(?P<close>\))|(?P<comma>,)|(?P<other>'[^'\\%]*'|\d+(?:\.\d+)?|%%|\[\s*\]|::|<>|<=|>=|!=|[-+*/=<>|&~])",
    re.IGNORECASE,
)
_NAME_PART = re.compile(_PART)
_COMPARISONS = {"=", "<", ">", "<=", ">=", "<>", "!="}
_KEYWORDS = {
    *("AND", "AS", "BETWEEN", "CASE", "CONFLICT", "DEFAULT", "DO", "ELSE", "END", "EXISTS", "FROM"),
    *("GROUP", "IN", "IS", "JOIN", "LIKE", "LIMIT", "NOT", "NOTHING", "NULL", "ON", "OR"),
    *("ORDER", "RETURNING", "SELECT", "SET", "THEN", "UPDATE", "USING", "VALUES", "WHEN", "WHERE", "XOR"),
}
_OPERAND = r"(?:column(?: (?:group|list))?|param|list|group)(?: CAST column)?"
_BESIDES = re.compile(
    r"(?:NOT )?(?:EXISTS )?group|(?:NOT )?column|column (?:NOT )?IN (?:group|list)"
    rf"|{_OPERAND} IS (?:NOT )?NULL|{_OPERAND} (?:=|<|LIKE) {_OPERAND}(?: ESCAPE)?"
)
"""Conditions that pin nothing, by what their tokens are; see `_kind`."""


@dataclass(frozen=True)
class Statement:
    """One that can be read. Columns are in lower case."""

    verb: str
    pinned: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """UPDATE and DELETE: the row that they reach has one of these values in that column."""
    alone: str | None = None
    """The column whose pin is the whole WHERE."""
    assigned: Mapping[str, Any] = field(default_factory=dict)
    """UPDATE: what the columns become."""
    rows: Sequence[Mapping[str, Any]] = ()
    """INSERT: what the new rows have."""
    conflict: frozenset[str] | None = None
    """INSERT that updates rows: those whose values in these columns are equal."""
    returned: tuple[str, ...] = ()
    """INSERT: the columns that it returns of the new rows."""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int
    """How many parameters come before."""
    inside: "tuple[_Token, ...]" = ()
    count: int = 0

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text in words


_Tokens = Sequence[_Token]


class _UnreadableError(Exception):
    """The statement is of no form that is known here."""


def read(sql: str, params: Any, table: str) -> Statement | None:
    """The statement, which writes to the table (in lower case); None when its meaning is in doubt."""
    if not isinstance(params, list | tuple) or "--" in sql or "/*" in sql:
        return None
    try:
        tokens, count = _tokens(sql)
        if count != len(params):
            return None
        return _Reader(params, table).statement(tokens)
    except _UnreadableError:
        return None


def _tokens(sql: str) -> tuple[_Tokens, int]:
    """The statement's tokens, parentheses nested, and how many parameters it has."""
    stack: list[list[_Token]] = [[]]
    opened: list[int] = []
    at = count = 0
    while at < len(sql):
        found = _TOKEN.match(sql, at)
        if found is None:
            raise _UnreadableError
        at, kind, text = found.end(), found.lastgroup, found[0]
        if kind == "open":
            stack.append([])
            opened.append(count)
        elif kind == "close":
            if not opened:
                raise _UnreadableError
            inside = tuple(stack.pop())
            stack[-1].append(_Token("group", "", opened.pop(), inside))
        elif kind is not None:
            params = text.count("%s") if kind in {"list", "param"} else 0
            stack[-1].append(_Token(kind, text.upper() if kind == "word" else text, count, (), params))
            count += params
    if opened:
        raise _UnreadableError
    return stack[0], count


def _split(tokens: _Tokens, is_between: Any) -> Iterator[_Tokens]:
    start = 0
    for at, token in enumerate(tokens):
        if is_between(token):
            yield tokens[start:at]
            start = at + 1
    yield tokens[start:]


def _at_commas(tokens: _Tokens) -> Iterator[_Tokens]:
    return _split(tokens, lambda token: token.kind == "comma")


def _index(tokens: _Tokens, word: str) -> int:
    return next((at for at, token in enumerate(tokens) if token.is_word(word)), len(tokens))


def _kinds(tokens: _Tokens) -> list[str]:
    return [_kind(token) for token in tokens]


def _kind(token: _Token) -> str:
    """What a token is: a keyword as it is, "=" or "<" for any other comparison, a column, a function, which
    looks like one, a parameter, a list of those, or a group in parentheses."""
    if token.kind == "name" or (
        token.kind == "word" and token.text not in _KEYWORDS and " " not in token.text
    ):
        return "column"
    if token.kind == "other" and token.text in _COMPARISONS:
        return "=" if token.text == "=" else "<"
    if token.text == "::":
        return "CAST"
    if token.kind == "word" and token.text.startswith("ESCAPE"):
        return "ESCAPE"
    return token.text if token.kind == "word" else token.kind


class _Reader:
    def __init__(self, params: Sequence[Any], table: str) -> None:
        self.params = params
        self.table = table

    def statement(self, tokens: _Tokens) -> Statement:
        if tokens and tokens[0].is_word("UPDATE"):
            return self.update(tokens)
        if len(tokens) > 1 and tokens[0].is_word("DELETE") and tokens[1].is_word("FROM"):
            return self.delete(tokens)
        if tokens and tokens[0].is_word("INSERT"):
            return self.insert(tokens)
        raise _UnreadableError

    def update(self, tokens: _Tokens) -> Statement:
        where = _index(tokens, "WHERE")
        if len(tokens) < 3 or not self.is_table(tokens[1]) or not tokens[2].is_word("SET"):
            raise _UnreadableError
        if any(token.is_word("FROM", "JOIN", "RETURNING") for token in tokens[3:where]):
            raise _UnreadableError
        assigned = {}
        for piece in _at_commas(tokens[3:where]):
            if _kinds(piece[:2]) != ["column", "="] or len(piece) < 3:
                raise _UnreadableError
            assigned[self.column(piece[0])] = self.value(piece[2:])
        pinned, alone = self.where(tokens[where + 1 :])
        return Statement("UPDATE", pinned=pinned, alone=alone, assigned=assigned)

    def delete(self, tokens: _Tokens) -> Statement:
        where = _index(tokens, "WHERE")
        if where != 3 or not self.is_table(tokens[2]):
            raise _UnreadableError
        pinned, alone = self.where(tokens[4:])
        return Statement("DELETE", pinned=pinned, alone=alone)

    def insert(self, tokens: _Tokens) -> Statement:
        tokens = tokens[1:]
        if [token.text for token in tokens[:2]] == ["OR", "IGNORE"]:
            tokens = tokens[2:]
        if len(tokens) < 4 or not tokens[0].is_word("INTO") or not self.is_table(tokens[1]):
            raise _UnreadableError
        columns = [self.only_column(piece) for piece in _at_commas(tokens[2].inside)]
        end = min(_index(tokens, "ON"), _index(tokens, "RETURNING"))
        conflict, tail = self.conflict(tokens[end:])
        if tail and not tail[0].is_word("RETURNING"):
            raise _UnreadableError
        pieces = list(_at_commas(tail[1:])) if tail else []
        returned = tuple(self.only_column(piece) for piece in pieces)
        rows = [dict(zip(columns, row, strict=True)) for row in self.rows(tokens[3:end], len(columns))]
        return Statement("INSERT", rows=rows, conflict=conflict, returned=returned)

    def rows(self, tokens: _Tokens, width: int) -> Iterator[Sequence[Any]]:
        if tokens[0].is_word("VALUES"):
            for piece in _at_commas(tokens[1:]):
                yield self.row(piece, width)
            return
        # PostgreSQL's arrays, one for each column.
        text = " ".join(token.text for token in tokens[:-1])
        if text != "SELECT * FROM UNNEST":
            raise _UnreadableError
        arrays = list(_at_commas(tokens[-1].inside))
        if len(arrays) != width or not all(array and array[0].kind == "list" for array in arrays):
            raise _UnreadableError
        values = [self.params[array[0].at] for array in arrays]
        if not all(isinstance(each, list) and len(each) == len(values[0]) for each in values):
            raise _UnreadableError
        yield from zip(*values, strict=True)

    def row(self, piece: _Tokens, width: int) -> Sequence[Any]:
        if len(piece) != 1:
            raise _UnreadableError
        token = piece[0]
        if token.kind == "list":
            row = self.params[token.at : token.at + token.count]
        elif token.kind == "group":
            row = [self.value(each) for each in _at_commas(token.inside)]
        else:
            raise _UnreadableError
        if len(row) != width:
            raise _UnreadableError
        return row

    def conflict(self, tokens: _Tokens) -> tuple[frozenset[str] | None, _Tokens]:
        """The columns on which rows are updated instead, if they are, and what follows."""
        if not tokens or not tokens[0].is_word("ON"):
            return None, tokens
        target = tokens[2].inside if len(tokens) > 2 and tokens[2].kind == "group" else ()
        rest = tokens[3 if target else 2 :]
        words = [token.text for token in rest[:3]]
        if not tokens[1].is_word("CONFLICT") or words[:1] != ["DO"]:
            raise _UnreadableError
        if words[1:2] == ["NOTHING"]:
            return None, rest[2:]
        end = _index(rest, "RETURNING")
        if words != ["DO", "UPDATE", "SET"] or not target:
            raise _UnreadableError
        for piece in _at_commas(rest[3:end]):
            names = [_names(token)[-2:] for token in piece[2:]]
            if _kinds(piece[:2]) != ["column", "="] or names != [["excluded", self.column(piece[0])]]:
                raise _UnreadableError
        return frozenset(self.only_column(piece) for piece in _at_commas(target)), rest[end:]

    def where(self, tokens: _Tokens) -> tuple[Mapping[str, Sequence[Any]], str | None]:
        pinned = self.pins(tokens)
        while len(tokens) == 1 and tokens[0].kind == "group":
            tokens = tokens[0].inside
        single = not any(token.is_word("AND") for token in tokens)
        return pinned, next(iter(pinned)) if pinned and single else None

    def pins(self, tokens: _Tokens) -> dict[str, Sequence[Any]]:
        """What a conjunction pins columns to."""
        found: dict[str, Sequence[Any]] = {}
        for piece in _split(tokens, lambda token: token.is_word("AND")):
            for column, values in self.condition(piece).items():
                found.setdefault(column, values)
        return found

    def condition(self, piece: _Tokens) -> dict[str, Sequence[Any]]:
        match _kinds(piece):
            case ["column", "=", "param"]:
                return {self.column(piece[0]): [self.params[piece[2].at]]}
            case ["column", "IN", "list"]:
                at, count = piece[2].at, piece[2].count
                return {self.column(piece[0]): self.params[at : at + count]}
            case ["column", "IS", "NULL"]:
                return {self.column(piece[0]): [None]}
            case ["group"]:
                try:
                    return self.pins(piece[0].inside)
                except _UnreadableError:
                    return {}  # whatever it says: it holds besides
            case kinds if _BESIDES.fullmatch(" ".join(kinds)):
                return {}
            case _:
                raise _UnreadableError

    def value(self, tokens: _Tokens) -> Any:
        """What an expression is, if it is a parameter or NULL."""
        if len(tokens) == 1 and tokens[0].kind == "param":
            return self.params[tokens[0].at]
        return None if len(tokens) == 1 and tokens[0].is_word("NULL") else UNKNOWN

    def is_table(self, token: _Token) -> bool:
        return _kind(token) == "column" and _names(token)[-1] == self.table

    def only_column(self, tokens: _Tokens) -> str:
        if len(tokens) != 1 or _kind(tokens[0]) != "column":
            raise _UnreadableError
        return self.column(tokens[0])

    def column(self, token: _Token) -> str:
        """The column of the table that is named."""
        names = _names(token)
        if len(names) > 1 and names[-2] != self.table:
            raise _UnreadableError
        return names[-1]


def _names(token: _Token) -> list[str]:
    """The parts of a dotted name, in lower case."""
    return [part.strip('"`').lower() for part in _NAME_PART.findall(token.text)] or [""]
