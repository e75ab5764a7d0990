"""Signals of our own. The sender is the wrapper; what a receiver raises is logged.

``cache_invalidated`` is sent when entries of a function have been invalidated, after the commit that did it,
in the process that did it. Receivers get ``wrapper``; ``reason``: ``"rule"``, ``"delete_cache"``,
``"delete_by_prefix"``, ``"invalidate_all"`` or ``"wipe"``; and ``arguments``: a list of dicts, each the
arguments that the invalidated calls have in common, or None when it may be any of the function's calls. It
is not sent for tags, as nobody knows which functions' entries have them.

``cache_rewarmed`` is sent when the call of a rule with ``rewarm=True`` has been computed again, in the
process that did it. Receivers get ``wrapper``, ``args`` and ``kwargs`` of the call, and ``error``: what it
raised in the end, or None.
"""

import os
from threading import Lock
from typing import Any, cast

from django.dispatch import Signal

cache_invalidated = Signal()
cache_rewarmed = Signal()


def _after_fork() -> None:
    """A thread that the child does not have may have held their locks."""
    for signal in (cache_invalidated, cache_rewarmed):
        cast(Any, signal).lock = Lock()


os.register_at_fork(after_in_child=_after_fork)
