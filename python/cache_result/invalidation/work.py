"""What is done after a commit: calls are refreshed, and custom invalidators run."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import Parameter, isawaitable, signature
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.db.models import Model

from cache_result import registry
from cache_result.dispatching import Dispatcher, SignalTypes
from cache_result.invalidation.encoding import decode, decode_row, encode, encode_row
from cache_result.reports import logger, tell
from cache_result.signals import cache_rewarmed

if TYPE_CHECKING:
    from cache_result.rules import InvalidationRule
    from cache_result.wrapper import CachedWrapper

    AnyWrapper = CachedWrapper[..., Any]


@dataclass(frozen=True, eq=False)
class Job(ABC):
    """One piece of work for a rule."""

    wrapper: "AnyWrapper"
    rule: "InvalidationRule"
    instance: Model | None
    """The row that has changed, as it was then; None where nobody needs it."""
    signal_type: SignalTypes

    @property
    def rule_id(self) -> str:
        """The stable name of the rule."""
        return registry.name_of(self.wrapper, self.rule)

    @property
    @abstractmethod
    def what(self) -> str:
        """What is done, for people."""

    @abstractmethod
    def run(self) -> None:
        """Does it."""

    @abstractmethod
    async def arun(self) -> None:
        """Does it on an event loop."""

    @abstractmethod
    def encode(self) -> Any:
        """What a worker has to know, in JSON's types.

        :raises TypeError: when a value cannot travel.
        """

    def ended(self, error: Exception | None) -> None:  # noqa: B027
        """It was done, or has failed for good."""


@dataclass(frozen=True, eq=False)
class Rewarm(Job):
    """A call to refresh."""

    arguments: dict[str, Any]

    @property
    def what(self) -> str:
        return f"rewarming {self.wrapper.label} failed; its next call computes"

    def run(self) -> None:
        refresh = getattr(self.wrapper, "refresh", None) if not self.wrapper.is_async else None
        if refresh is None:
            async_to_sync(self.wrapper.arefresh)(**self.arguments)
        else:
            refresh(**self.arguments)

    async def arun(self) -> None:
        await self.wrapper.arefresh(**self.arguments)

    def encode(self) -> Any:
        return {"arguments": {name: encode(value) for name, value in self.arguments.items()}}

    def ended(self, error: Exception | None) -> None:
        tell(cache_rewarmed, self.wrapper, args=(), kwargs=dict(self.arguments), error=error)


@dataclass(frozen=True, eq=False)
class Invalidation(Job):
    """A custom invalidator to run."""

    using: str
    created: bool
    update_fields: frozenset[str] | None
    savepoints: frozenset[str | None] = frozenset()
    """Those that it is inside of: one that is rolled back takes it along."""

    @property
    def what(self) -> str:
        return f"the invalidator {self.rule.invalidator_name} of {self.wrapper.label} failed"

    @property
    def key(self) -> Hashable:
        """What work has in common that need not be done twice."""
        row = (type(self.instance), _pk(self), self.using)
        return (self.rule_id, row, self.signal_type, self.savepoints)

    def joined(self, later: "Invalidation") -> "Invalidation":
        """This and a later change of the same row, told as one."""
        both = self.update_fields, later.update_fields
        fields = None if both[0] is None or both[1] is None else both[0] | both[1]
        return replace(later, created=self.created or later.created, update_fields=fields)

    def _call(self) -> tuple[Any, dict[str, Any]]:
        invalidator = self.rule.resolve_invalidator()
        extras = {
            "signal_type": self.signal_type,
            "instance_created": self.created,
            "update_fields": self.update_fields,
        }
        return invalidator, _accepted(invalidator, extras)

    def run(self) -> None:
        invalidator, extras = self._call()
        if _is_async(invalidator):
            async_to_sync(invalidator)(self.wrapper, self.instance, **extras)
            return
        result = invalidator(self.wrapper, self.instance, **extras)
        if isawaitable(result):
            async_to_sync(_wait)(result)

    async def arun(self) -> None:
        invalidator, extras = self._call()
        if not _is_async(invalidator):
            invalidator = sync_to_async(invalidator, thread_sensitive=True)
        result = await invalidator(self.wrapper, self.instance, **extras)
        if isawaitable(result):
            await result

    def encode(self) -> Any:
        fields = None if self.update_fields is None else sorted(self.update_fields)
        assert self.instance is not None
        return {
            "row": encode_row(self.instance, self.using),
            "signal_type": self.signal_type.value,
            "created": self.created,
            "update_fields": fields,
        }


def _accepted(function: Any, extras: dict[str, Any]) -> dict[str, Any]:
    """Those of the extra arguments that the function takes by name."""
    try:
        parameters = signature(function).parameters
    except (TypeError, ValueError):
        return {}
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return extras
    return {name: value for name, value in extras.items() if name in parameters}


def _is_async(function: Any) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


async def _wait(awaitable: Any) -> Any:
    return await awaitable


def decoded(rule_id: str, told: Mapping[str, Any]) -> Job:
    """The job that a worker was told of.

    :raises UnknownRuleError: when this process does not know the rule.
    """
    wrapper, rule = registry.rule_named(rule_id)
    if "arguments" in told:
        arguments = {name: decode(value) for name, value in told["arguments"].items()}
        return Rewarm(wrapper, rule, None, SignalTypes.POST_SAVE, arguments)
    signal = SignalTypes(told["signal_type"])
    row = decode_row(told["row"], deleted=signal is SignalTypes.POST_DELETE)
    fields = told["update_fields"]
    fields = None if fields is None else frozenset(fields)
    return Invalidation(wrapper, rule, row, signal, told["row"]["using"], told["created"], fields)


# --- sending


def hand_over(jobs: Iterable[Job]) -> None:
    """Gives each job to the dispatcher of its rule. What goes wrong is logged, and concerns nobody else.

    :raises Exception: the first error that is to be raised, once everything is done.
    """
    asked: Exception | None = None
    for dispatcher, group in _groups(jobs):
        try:
            _dispatch(dispatcher, group)
        except Exception as error:
            raises = any(dispatcher.raises(job.rule.raise_exception) for job in group)
            if not (raises and dispatcher.in_process):
                names = ", ".join(sorted({job.wrapper.label for job in group}))
                logger.exception("cache_result: %r could not be given the work of %s", dispatcher, names)
            if raises:
                asked = asked or error
    if asked is not None:
        raise asked


def _groups(jobs: Iterable[Job]) -> list[tuple[Dispatcher, list[Job]]]:
    """Jobs that are dispatched together, with their dispatcher."""
    groups: list[tuple[Dispatcher, list[Job]]] = []
    batches: dict[Hashable, list[Job]] = {}
    for job in jobs:
        try:
            dispatcher = job.rule.get_dispatcher()
        except Exception:
            logger.exception("cache_result: a rule of %s has no usable dispatcher", job.wrapper.label)
            continue
        if not (job.rule.batch and dispatcher.supports_batching):
            groups.append((dispatcher, [job]))
            continue
        key = (dispatcher.batch_key(), job.rule.model_label)
        if key not in batches:
            batches[key] = []
            groups.append((dispatcher, batches[key]))
        batches[key].append(job)
    return groups


def _dispatch(dispatcher: Dispatcher, jobs: Sequence[Job]) -> None:
    work: dict[str, list[Any]] = {}
    for job in jobs:
        try:
            told = job if dispatcher.in_process else _told(job)
        except TypeError as error:
            logger.error("cache_result: %s: %s", job.what, error)
            continue
        work.setdefault(job.rule_id, []).append(told)
    if not work:
        return
    keys = {(type(job.instance), _pk(job)) for job in jobs}
    pk = _pk(jobs[0]) if len(keys) == 1 else None
    signals = {job.signal_type for job in jobs}
    dispatcher.dispatch(
        model_label=jobs[0].rule.model_label,
        pk=pk if pk is None or type(pk) in {int, str} or dispatcher.in_process else str(pk),
        rule_ids=list(work),
        signal_type=signals.pop().value if len(signals) == 1 else None,
        rule_kwargs=work,
    )


def _told(job: Job) -> Any:
    if "~" in job.wrapper.function_id:
        raise TypeError("no worker knows the function by its name, which another one has; give it name=")
    return job.encode()


def _pk(job: Job) -> Any:
    return None if job.instance is None else job.instance.pk


# --- running


def run_here(jobs_by_rule: Mapping[str, Sequence[Job]], dispatcher: Dispatcher) -> None:
    """Does jobs in this process, each of which gets a second try.

    :raises Exception: the first error that is to be raised, once everything is done.
    """
    asked: Exception | None = None
    for job in _all(jobs_by_rule):
        error: Exception | None = None
        for _ in range(2):
            try:
                job.run()
            except Exception as raised:
                error = raised
            else:
                error = None
                break
        asked = _ended(job, error, dispatcher) or asked
    if asked is not None:
        raise asked


async def arun_here(jobs_by_rule: Mapping[str, Sequence[Job]], dispatcher: Dispatcher) -> None:
    """Asyncio twin of :func:`run_here`."""
    asked: Exception | None = None
    for job in _all(jobs_by_rule):
        error: Exception | None = None
        for _ in range(2):
            try:
                await job.arun()
            except Exception as raised:
                error = raised
            else:
                error = None
                break
        asked = _ended(job, error, dispatcher) or asked
    if asked is not None:
        raise asked


def _all(jobs_by_rule: Mapping[str, Sequence[Job]]) -> list[Job]:
    return [job for jobs in jobs_by_rule.values() for job in jobs]


def _ended(job: Job, error: Exception | None, dispatcher: Dispatcher) -> Exception | None:
    """Tells how a job has ended. Returns the error if it is to be raised."""
    if error is not None:
        logger.error("cache_result: %s", job.what, exc_info=error)
    job.ended(error)
    return error if error is not None and dispatcher.raises(job.rule.raise_exception) else None


def run_cache_rules(rule_ids: Sequence[str], rule_kwargs: Mapping[str, Any], **context: Any) -> None:
    """Does what a dispatcher was given, in a worker.

    :raises Exception: the first error, once everything else is done: the broker tries again.
    """
    first: Exception | None = None
    for rule_id in rule_ids:
        for told in rule_kwargs[rule_id]:
            job: Job | None = None
            try:
                job = told if isinstance(told, Job) else decoded(rule_id, told)
                job.run()
            except Exception as error:
                first = first or error
                logger.error("cache_result: %s", job.what if job else rule_id, exc_info=error)
                if job is not None:
                    job.ended(error)
            else:
                job.ended(None)
    if first is not None:
        raise first
