"""One file, one feature: an image to an array."""
