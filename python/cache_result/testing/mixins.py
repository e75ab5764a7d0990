"""For test classes of Django's, with or without pytest."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar

from cache_result.testing.blocks import cache_results_off, cache_results_on_commit, cache_results_shared
from cache_result.testing.calls import assert_cache_calls
from cache_result.testing.fresh import forget_cache_results

if TYPE_CHECKING:
    from unittest import TestCase

    _Base = TestCase
else:
    _Base = object


class CacheResultTestMixin(_Base):
    """Every test begins with nothing cached and fresh counters, and so does the class: put it in front of
    ``SimpleTestCase``, ``TestCase`` or ``TransactionTestCase``.

        class CheckoutTests(CacheResultTestMixin, TestCase):
            cache_results_on_commit = True

            def test_it(self):
                with self.assertCacheCalls(get_user, misses=1):
                    get_user(1)

    Under pytest with the package's plugin tests begin so anyway.
    """

    cache_results_off: ClassVar[bool] = False
    """Every cached call of the tests runs its function."""
    cache_results_on_commit: ClassVar[bool] = False
    """Calls are rewarmed and custom invalidators run when the code under test commits, see
    :class:`cache_result.testing.cache_results_on_commit`."""
    cache_results_shared: ClassVar[bool] = False
    """Keys are those of production, see :class:`cache_result.testing.cache_results_shared`."""

    assertCacheCalls = assert_cache_calls

    @classmethod
    def setUpClass(cls) -> None:
        forget_cache_results()
        super().setUpClass()

    def run(self, result: Any = None) -> Any:
        """Runs the test, its ``setUp`` and its ``tearDown``."""
        forget_cache_results()
        with ExitStack() as blocks:
            if self.cache_results_shared:
                blocks.enter_context(cache_results_shared())
            if self.cache_results_off:
                blocks.enter_context(cache_results_off())
            if self.cache_results_on_commit:
                blocks.enter_context(cache_results_on_commit())
            return super().run(result)
