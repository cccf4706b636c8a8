/* The application's light: the board's own, of three colors. */
#include <Arduino.h>

#include "pins.h"
#include "src/indicator.h"

namespace {

void light(int pin, bool on) { digitalWrite(pin, on == (pins::kLightOn == HIGH) ? HIGH : LOW); }

}  // namespace

extern "C" void indicator_set(bool red, bool green, bool blue) {
  static bool is_output = false;
  if (!is_output) {
    pinMode(pins::kRed, OUTPUT);
    pinMode(pins::kGreen, OUTPUT);
    pinMode(pins::kBlue, OUTPUT);
    is_output = true;
  }
  light(pins::kRed, red);
  light(pins::kGreen, green);
  light(pins::kBlue, blue);
}
