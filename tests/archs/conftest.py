"""These networks are so small that threads cost more than they bring."""

from small_networks import one_thread

__all__ = ["one_thread"]
