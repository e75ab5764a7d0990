"""Key fields that change when the shape of what is cached changes."""

from collections.abc import Callable
from inspect import Signature, isclass
from typing import Any
from weakref import WeakKeyDictionary

from django.apps import apps
from django.db.models import Model

from cache_result.keys.fields import CompiledKeyField
from cache_result.keys.fingerprints import describe_model, describe_serializer

_shapes: WeakKeyDictionary[type, tuple[Any, ...]] = WeakKeyDictionary()
"""What was described in this process, by class."""


def _described(cls: type[Any], describe: Callable[[type[Any]], tuple[Any, ...]]) -> tuple[Any, ...]:
    shape = _shapes.get(cls)
    if shape is None:
        shape = _shapes[cls] = describe(cls)
    return shape


class ShapeKeyField(CompiledKeyField):
    """Base class of fields that are described once per process, at the first call."""

    kind = "shape"

    def specify(self, parameters: Signature, label: str) -> tuple[Any, str | None]:
        """Data for the Rust core, and what distinguishes it."""
        return self, None

    def shape(self) -> tuple[Any, ...]:
        """Plain values that change with the shape."""
        raise NotImplementedError


class DjangoModelKeyField(ShapeKeyField):
    """The fields of a model: ``DjangoModelKeyField(City)``. After a migration that changes the names,
    types, order, choices, lengths or relations of its fields there are other keys.

    :param model: a model class or ``"app_label.Model"``.
    """

    def __init__(
        self,
        model: type[Model] | str,
        *,
        partition: bool = False,
        hash_value: bool = True,
        sort_lists: bool = False,
    ) -> None:
        super().__init__(partition=partition, hash_value=hash_value, sort_lists=sort_lists)
        is_name = isinstance(model, str) and model.count(".") == 1
        if not is_name and not (isclass(model) and issubclass(model, Model)):
            raise ValueError(f"Invalid model class: {model!r}; give a model class or 'app_label.Model'")
        self.model = model

    def shape(self) -> tuple[Any, ...]:
        """Plain values that change with the model's fields.

        :raises ValueError: when there is no such model.
        """
        model = self.model
        if isinstance(model, str):
            try:
                model = apps.get_model(model)
            except LookupError as error:
                raise ValueError(f"Invalid model class: {model!r}: {error}") from error
        return _described(model, describe_model)


class DrfSerializerKeyField(ShapeKeyField):
    """The fields of a serializer of Django REST framework, nested ones included.

    :param serializer_class: a class that can be made without arguments.
    """

    def __init__(
        self,
        serializer_class: type[Any],
        *,
        partition: bool = False,
        hash_value: bool = True,
        sort_lists: bool = False,
    ) -> None:
        super().__init__(partition=partition, hash_value=hash_value, sort_lists=sort_lists)
        if not isclass(serializer_class):
            raise ValueError(f"Failed to initialize serializer class: {serializer_class!r} is no class")
        self.serializer_class = serializer_class

    def shape(self) -> tuple[Any, ...]:
        """Plain values that change with the serializer's fields.

        :raises ValueError: when the serializer cannot be made.
        """
        return _described(self.serializer_class, describe_serializer)
