"""What a person sees of a run, and the files of numbers it leaves."""
