/* Implements indicator.h with the RGB LED of the board. */
#include <Arduino.h>

#include "pins.h"
#include "src/indicator.h"

namespace {

void set_pin(uint8_t pin, bool on) { digitalWrite(pin, on == (pins::kLightOn == HIGH) ? HIGH : LOW); }

}  // namespace

extern "C" void indicator_set(bool red, bool green, bool blue) {
  static bool is_output = false;
  if (!is_output) {
    pinMode(pins::kRed, OUTPUT);
    pinMode(pins::kGreen, OUTPUT);
    pinMode(pins::kBlue, OUTPUT);
    is_output = true;
  }
  set_pin(pins::kRed, red);
  set_pin(pins::kGreen, green);
  set_pin(pins::kBlue, blue);
}
