"""One file, one family of classifiers; VARIANTS names its members."""
