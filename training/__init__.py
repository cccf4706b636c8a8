"""Turns one published version into an int8 model that fits a 256 KB board."""
