"""What a dataset is: its recipe, its table, its decisions, and where all of it lies."""
