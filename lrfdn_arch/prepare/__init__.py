"""What makes data sets: downloads, packing into LMDBs, verification."""
