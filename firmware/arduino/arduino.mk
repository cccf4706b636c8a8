# The Arduino sketch; the main Makefile includes this. `make arduino` needs arduino-cli and its core arduino:mbed_nano.
.PHONY: arduino arduino-upload

ARDUINO_BOARD := arduino:mbed_nano:nano33ble
ARDUINO_SKETCH := firmware/arduino/melanoma_detector
PORT ?= /dev/ttyACM0

arduino: ## fill the sketch's folder with the trained model and compile it (needs arduino-cli)
	@firmware/arduino/assemble
	@command -v arduino-cli > /dev/null || { echo 'arduino-cli is not installed: firmware/README.md says how' >&2; exit 1; }
	@arduino-cli compile --fqbn $(ARDUINO_BOARD) --warnings more $(ARDUINO_SKETCH)

arduino-upload: arduino ## the same, and put it on the board at PORT (press its reset button twice first)
	@arduino-cli upload --fqbn $(ARDUINO_BOARD) --port $(PORT) $(ARDUINO_SKETCH)
