"""Running a network on images: runtimes, tiles, and the fastest of them on this machine."""
