"""Other layouts to seam 1, one file each."""
