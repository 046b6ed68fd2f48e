"""Networks of the organisers' kits, run in processes of their own."""
