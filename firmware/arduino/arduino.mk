# The Arduino sketch, included by the main Makefile. `make arduino` needs arduino-cli with the core arduino:mbed_nano.
.PHONY: arduino arduino-upload

ARDUINO_BOARD := arduino:mbed_nano:nano33ble
ARDUINO_SKETCH := firmware/arduino/melanoma_detector
PORT ?= /dev/ttyACM0

arduino: ## compile the Arduino sketch with the trained model (needs arduino-cli)
	@firmware/arduino/assemble
	@command -v arduino-cli > /dev/null || { echo 'error: arduino-cli is not installed; see firmware/README.md' >&2; exit 1; }
	@arduino-cli compile --fqbn $(ARDUINO_BOARD) --warnings more $(ARDUINO_SKETCH)

arduino-upload: arduino ## the same, and upload it to the board at PORT (first press its reset button twice)
	@arduino-cli upload --fqbn $(ARDUINO_BOARD) --port $(PORT) $(ARDUINO_SKETCH)
