"""Trains an int8 model that fits a 256 KB board on one published version."""
