"""What a run prints, and the files of numbers it leaves."""
