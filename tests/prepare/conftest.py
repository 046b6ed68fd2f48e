from small_lmdbs import make_lmdb

__all__ = ["make_lmdb"]
