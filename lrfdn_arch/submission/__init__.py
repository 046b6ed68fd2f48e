"""What goes to a challenge's server and into the organisers' kit."""
