// The detector on an Arduino Nano 33 BLE Sense with an OV7675. Fill src/ first: firmware/arduino/assemble.
// It works the same whether a PC listens or not: nothing here waits for one.
#include "src/application.h"

void setup() {
  Serial.begin(115200);
  application_begin();
}

void loop() { application_step(); }
