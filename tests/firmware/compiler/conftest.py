"""Keeps the builder of networks out of the search for doctests: where it is skipped there, nothing could import it."""

collect_ignore = ["networks.py"]
