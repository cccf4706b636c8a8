// The detector on an Arduino Nano 33 BLE Sense with an OV7675. Run firmware/arduino/assemble first: it fills src/.
// The detector works without a PC: nothing here waits for the serial port.
#include "src/application.h"

void setup() {
  Serial.begin(115200);
  application_begin();
}

void loop() { application_step(); }
