"""What ``wrapper.explain_key(...)`` returns."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class KeyPart:
    """What one field contributes."""

    field: str
    """The field's name in the key constructor."""
    partition: bool
    """Whether entries that share it can be wiped together."""
    values: dict[str, str]
    """Its values by name, in a form like ``repr``; ``<absent>`` where there is nothing."""


@dataclass(frozen=True)
class KeyScope:
    """A group of entries, this call's among them, that can be invalidated as one."""

    name: str
    """What it is."""
    key: str
    """Where the cache keeps its generation, if the cache is a shared one."""


@dataclass(frozen=True)
class KeyExplanation:
    """What a call's key is made of, and which scopes the call belongs to."""

    key: str
    """The key in the Django cache."""
    namespace: str
    function_id: str
    version: int
    digest: str
    """What tells calls apart: BLAKE3 of function and contributions. The rest of the key is for reading."""
    parts: tuple[KeyPart, ...]
    scopes: tuple[KeyScope, ...]

    def __str__(self) -> str:
        lines = [
            f"key        {self.key}",
            f"namespace  {self.namespace or '-'}",
            f"function   {self.function_id}",
            f"version    {self.version}",
            "fields",
        ]
        for part in self.parts:
            mark = " (partition)" if part.partition else ""
            lines += [f"  {part.field}{mark}: {name} = {value}" for name, value in part.values.items()]
        lines.append("scopes")
        lines += [f"  {scope.key}  {scope.name}" for scope in self.scopes]
        return "\n".join(lines)


def explain(
    name: tuple[str, str, int],
    key: str,
    parts: Iterable[tuple[str, bool, list[tuple[str, str]]]],
    scopes: Iterable[tuple[str, str]],
) -> KeyExplanation:
    """The explanation in the form for people."""
    namespace, function_id, version = name
    return KeyExplanation(
        key=key,
        namespace=namespace,
        function_id=function_id,
        version=version,
        digest=key.rpartition(":")[2],
        parts=tuple(KeyPart(field, partition, dict(values)) for field, partition, values in parts),
        scopes=tuple(KeyScope(name, key) for name, key in scopes),
    )
