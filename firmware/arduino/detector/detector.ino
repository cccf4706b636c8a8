// The detector on an Arduino Nano 33 BLE Sense with an OV7675. Run firmware/arduino/assemble first: it fills src/.
// The detector works without a PC: nothing here waits for the serial port. The core has started USB before setup().
#include "board_nano33ble.h"
#include "src/application.h"

void setup() {
  board_nano33ble_observe_stack();
  application_begin();
}

void loop() { application_step(); }
