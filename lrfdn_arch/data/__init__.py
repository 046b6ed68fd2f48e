"""Reading image data: exact bicubic, LMDB stores, the paired dataset, the sampler."""
