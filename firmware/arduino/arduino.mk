# The Arduino sketch, included by the main Makefile. `make arduino` needs arduino-cli with the core arduino:mbed_nano;
# `make sketch CORE=DIR` needs only the core's files and the compiler for ARM.
.PHONY: arduino arduino-upload sketch

ARDUINO_BOARD := arduino:mbed_nano:nano33ble
ARDUINO_SKETCH := firmware/arduino/detector
PORT ?= /dev/ttyACM0
CORE ?=

arduino: ## compile the Arduino sketch with the trained model (needs arduino-cli)
	@firmware/arduino/assemble
	@command -v arduino-cli > /dev/null || { echo 'error: arduino-cli is not installed; see firmware/README.md' >&2; exit 1; }
	@arduino-cli compile --fqbn $(ARDUINO_BOARD) --warnings more $(ARDUINO_SKETCH)

arduino-upload: arduino ## the same, and upload it to the board at PORT
	@arduino-cli upload --fqbn $(ARDUINO_BOARD) --port $(PORT) $(ARDUINO_SKETCH)

sketch: setup ## compile the Arduino sketch with the core's files in CORE=DIR, by the recipes of its platform.txt
	@test -n '$(CORE)' || { echo 'error: give the folder of a core, CORE=DIR; see firmware/README.md' >&2; exit 1; }
	@firmware/arduino/assemble
	@PYTHONPATH=. $(BIN)/python -m firmware.tools.sketch '$(CORE)' --sketch $(ARDUINO_SKETCH)
