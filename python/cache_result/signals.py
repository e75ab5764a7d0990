"""Signals of our own. The sender is the wrapper; what a receiver raises is logged.

``cache_invalidated`` is sent when entries of a function have been invalidated, after the commit that did it,
in the process that did it. Receivers get ``wrapper``; ``reason``: ``"rule"``, ``"delete_cache"``,
``"delete_by_prefix"``, ``"invalidate_all"`` or ``"wipe"``; and ``arguments``: a list of dicts, each the
arguments that the invalidated calls have in common, or None when it may be any of the function's calls.

``cache_rewarmed`` is sent when the call of a rule with ``rewarm=True`` has been computed again, in the
process that did it. Receivers get ``wrapper``, ``args`` and ``kwargs`` of the call, and ``error``: what it
raised in the end, or None.
"""

from django.dispatch import Signal

cache_invalidated = Signal()
cache_rewarmed = Signal()
