from small_networks import one_thread, own_cache, unchanged_allocator, weights

__all__ = ["one_thread", "own_cache", "unchanged_allocator", "weights"]
