"""What the wrappers of plain and of async views have in common: the way of a request to its response."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, cast

from asgiref.sync import sync_to_async
from django.http import HttpRequest

from cache_result import _core
from cache_result.core_wrapper import Metadata
from cache_result.explanation import KeyExplanation
from cache_result.keys.responses import asked
from cache_result.responses.exchange import Exchange, ViewFailed
from cache_result.responses.identity import Identity
from cache_result.responses.policy import Policy
from cache_result.responses.steps import BYPASSED, part_of, steps_of
from cache_result.responses.verdict import Verdict
from cache_result.threads import off_the_loop
from cache_result.views import rest
from cache_result.views.calls import locate
from cache_result.views.unsafe import changes_its_target, invalidate_target
from cache_result.wrapper import CachedWrapper

P = ParamSpec("P")
T = TypeVar("T")

Answer = tuple[Any, Any]
Mode = str


class AnsweringWrapper(CachedWrapper[P, T]):
    """The wrapper of a view, but for how it is made and called."""

    _policy: Policy
    _gate: rest.Gate | None
    _dispatches: bool
    _verdict: Verdict

    # --- what sync and async views have in common

    def _exchange(
        self,
        view: Any,
        request: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any],
        checked: rest.Checked | None,
    ) -> Exchange | None:
        """What is to be answered; None where the cache has no part in it."""
        finish, again = None, run
        if checked is not None:
            request = checked.request
        elif rest.is_rest_view(view):
            if isinstance(request, HttpRequest):
                return None  # a handler that was called without `dispatch`; nobody knows how to render it
            finish = partial(rest.finalized, view, request)
            again = partial(rest.run_again, view, run)
        if (checked is not None and checked.is_refused) or not rest.may_be_shared(request, self._policy):
            return None
        exchange = self._exchange_with(request, args, kwargs, run, finish)
        exchange.again = again
        return exchange

    def _exchange_with(
        self,
        request: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any],
        finish: Callable[[Any], Any] | None = None,
    ) -> Exchange:
        asker = Identity(self._policy, request)
        return Exchange(self._policy, self._verdict, asker, request, args, kwargs, run, finish, self._passed)

    def _is_async_dispatch(self, args: tuple[Any, ...]) -> bool:
        """Whether a plain ``dispatch`` is called on an heir with async handlers."""
        return self._dispatches and bool(args) and _handles_async(cast(Any, type(args[0])))

    def _is_before_checks(self, view: Any, request: Any) -> bool:
        """Whether the checks of a view of REST framework lie behind this cache."""
        if self._gate is not None:
            return True
        return self._dispatches and isinstance(request, HttpRequest) and rest.is_rest_view(view)

    def _check(
        self, view: Any, request: Any, args: tuple[Any, ...], kwargs: dict[str, Any], throttle: bool = True
    ) -> rest.Checked:
        in_front = self._gate is not None
        args = args[1:] if in_front else args[2:]
        if self._gate is not None:
            view = self._gate.view(request, args, kwargs)
        return rest.check(view, request, args, kwargs, in_front=in_front, throttle=throttle)

    def _with_key(self, find: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What ``find`` says of a call, once it is known whose response it is about."""
        view, request = locate(self.label, args, kwargs)
        if self._is_before_checks(view, request):
            checked = self._check(view, request, args, kwargs, throttle=False)
            if checked.refusal is not None:
                raise ValueError(f"cache_response: {self.label} refuses this request") from checked.refusal
            request = checked.request
        exchange = self._exchange_with(request, args, kwargs, lambda: None)
        exchange.asker.recognize()
        with exchange.asking():
            return find(args, kwargs)

    if not TYPE_CHECKING:

        def get_cache_key(self, *args: Any, **kwargs: Any) -> str:
            """The key under which the response to this request lives in the Django cache. No I/O."""
            return self._with_key(lambda args, kwargs: self._parts(args, kwargs)[0], args, kwargs)

        def explain_key(self, *args: Any, **kwargs: Any) -> KeyExplanation:
            """What the key of the response to this request is made of. No I/O."""
            explain = super().explain_key
            return self._with_key(lambda args, kwargs: explain(*args, **kwargs), args, kwargs)

    async def _away(self, find: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What ``find`` says of a call, where it may query the database and run the checks of a view."""
        if self._gate is None and not self._dispatches:
            return await off_the_loop(find, *args, **kwargs)
        return await sync_to_async(find, thread_sensitive=True)(*args, **kwargs)

    async def aget_cache_key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Asyncio twin of ``get_cache_key``."""
        return cast(str, await self._away(self.get_cache_key, *args, **kwargs))

    async def aexplain_key(self, *args: P.args, **kwargs: P.kwargs) -> KeyExplanation:
        """Asyncio twin of ``explain_key``."""
        return cast(KeyExplanation, await self._away(self.explain_key, *args, **kwargs))

    async def adelete_cache(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Asyncio twin of ``delete_cache``."""
        key, own, _ = await self._away(self._with_key, self._parts, args, kwargs)
        await self.storage.aperform("forget", key, own, (self.label,))
        await self._atell("delete_cache", args, kwargs)

    # --- the asyncio side, which both kinds have

    async def _aanswer(
        self,
        mode: Mode,
        metadata: bool,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run: Callable[[], Any] | None = None,
    ) -> Answer:
        view, request = locate(self.label, args, kwargs)
        run = run or self._awaitable(cast(Any, self.func), args, kwargs)
        if mode == "get" and request.method not in ("GET", "HEAD"):
            response = await run()
            if changes_its_target(request, response):
                await sync_to_async(invalidate_target, thread_sensitive=True)(self, args, kwargs)
            return response, BYPASSED
        checked = None
        if self._is_before_checks(view, request):
            checked = await sync_to_async(self._check, thread_sensitive=True)(view, request, args, kwargs)
            run = partial(_arun_checked, checked, run)
        # Where a view leaves authentication to whoever wants to know, it is now.
        exchange = await off_the_loop(self._exchange, view, request, args, kwargs, run, checked)
        if exchange is not None:
            return await self._adrive(exchange, mode, metadata)
        return (_core.CACHE_MISSING, None) if mode == "peek" else (await run(), BYPASSED)

    async def _adrive(self, exchange: Exchange, mode: Mode, metadata: bool) -> Answer:
        part = part_of(exchange, mode)
        if part != "bypass":
            await self._recognize(exchange.asker)
        args, kwargs = exchange.args, exchange.kwargs
        metadata = metadata or self._policy.set_cache_headers
        want = "both" if metadata else "stored"
        steps = steps_of(exchange, mode, part)
        try:
            part = next(steps)
            while True:
                with exchange.asking(part):
                    found = self._at_hand(part, metadata, args, kwargs)
                    if found is None:
                        try:
                            found = await self._drive(part, want, args, kwargs)
                        except ViewFailed as failed:
                            found = (failed, None)
                part = steps.send(found)
        except StopIteration as over:
            return cast(Answer, over.value)

    @staticmethod
    async def _recognize(asker: Identity) -> None:
        if asker.is_at_hand:
            await off_the_loop(asker.recognize)
        else:
            await sync_to_async(asker.recognize, thread_sensitive=True)()

    def _at_hand(
        self, part: Mode, metadata: bool, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Answer | None:
        """A hit in our own store, whose metadata nobody wants to know."""
        if part != "get" or metadata:
            return None
        hit = self._hit(args, kwargs)
        return None if hit is _core.CACHE_MISSING else (hit, True)

    def _awaitable(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Callable[[], Any]:
        """What runs the view for asyncio."""
        if not self.is_async and not self._is_async_dispatch(args):
            func = sync_to_async(func, thread_sensitive=True)
        return partial(func, *args, **kwargs)

    async def _invoke(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await cast(Exchange, asked.get()).afill()

    def _invoke_here(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return cast(Exchange, asked.get()).fill()

    def _set_apart(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        asked.set(cast(Exchange, asked.get()).apart())
        return args, kwargs

    def _when_free(self, begin: Callable[[], bool]) -> bool:
        cast(Exchange, asked.get()).afterwards.append(begin)
        return True

    def _spared(self, error: Exception) -> None:
        super()._spared(error.error if isinstance(error, ViewFailed) else error)

    def _not_renewed(self, error: Exception) -> None:
        super()._not_renewed(error.error if isinstance(error, ViewFailed) else error)

    def _refuse_many(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            f"cache_result: {self.label} is a view, of which each call has a request of its own; put "
            "@cache_result on a function that makes the data, for many calls of that"
        )

    if not TYPE_CHECKING:
        get_many = aget_many = warm = awarm = _refuse_many

    async def aget_with_metadata(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``get_with_metadata``."""
        return await self._aanswer("get", True, args, kwargs)

    async def aget_cache_only(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``get_cache_only``."""
        return (await self._aanswer("peek", False, args, kwargs))[0]

    async def aget_cached_metadata(self, *args: P.args, **kwargs: P.kwargs) -> Metadata | None:
        """Asyncio twin of ``get_cached_metadata``."""
        return cast("Metadata | None", (await self._aanswer("peek", True, args, kwargs))[1])

    async def arefresh(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``refresh``."""
        return (await self._aanswer("refresh", False, args, kwargs))[0]

    async def abypass_cache(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Asyncio twin of ``bypass_cache``."""
        return (await self._aanswer("bypass", False, args, kwargs))[0]


@lru_cache(maxsize=1024)
def _handles_async(cls: type) -> bool:
    """Whether the handlers of a class-based view are coroutine functions; to find out takes a while."""
    return bool(getattr(cls, "view_is_async", False))


async def _arun_checked(checked: rest.Checked, run: Callable[[], Any]) -> Any:
    with checked.handed_over():
        return await run()
