"""Commands on a compiled run: proof on the emulated board, a recorded session, costs."""
