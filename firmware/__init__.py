"""The compiler from ``.tflite`` to C, and the commands of `make firmware`. The firmware itself is C."""
