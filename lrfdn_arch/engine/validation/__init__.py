"""Measuring a network on images, over as many processes as there are."""
