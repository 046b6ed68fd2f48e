"""Picture files in and out: what they hold, what formats can hold, 8 and 16 bits, transparency."""
