"""The firmware's commands on the PC: what `make firmware` shows with a compiled run. The firmware itself is C."""
