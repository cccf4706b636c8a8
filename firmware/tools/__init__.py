"""Commands on a compiled run: comparison with the reference on the emulated board, a session, costs."""
