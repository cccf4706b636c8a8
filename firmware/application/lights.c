#include "lights.h"

#include "config.h"
#include "indicator.h"

enum { COLORS = LIGHT_RED | LIGHT_GREEN | LIGHT_BLUE, NOTHING_YET = 0xFF };

void lights_init(lights *self) {
  self->wanted = LIGHT_OFF;
  self->since_ms = 0;
  self->shown = NOTHING_YET;
}

void lights_set(lights *self, light wanted, uint32_t now_ms) {
  if (self->wanted != wanted) {
    self->wanted = wanted;
    self->since_ms = now_ms;
  }
}

static uint8_t colors_of(light wanted, bool lit) {
  return (wanted & LIGHT_BLINKING) != 0 && !lit ? 0 : (uint8_t)(wanted & COLORS);
}

void lights_update(lights *self, uint32_t now_ms) {
  const bool lit = (now_ms - self->since_ms) / BLINK_MS % 2 == 0;
  const uint8_t colors = colors_of(self->wanted, lit);
  if (colors != self->shown) {
    self->shown = colors;
    indicator_set((colors & LIGHT_RED) != 0, (colors & LIGHT_GREEN) != 0, (colors & LIGHT_BLUE) != 0);
  }
}

const char *lights_name(light wanted) {
  static const char *const names[] = {"off",
                                      "red",
                                      "green",
                                      "yellow",
                                      "blue",
                                      "magenta",
                                      "cyan",
                                      "white",
                                      "off",
                                      "red blinking",
                                      "green blinking",
                                      "yellow blinking",
                                      "blue blinking",
                                      "magenta blinking",
                                      "cyan blinking",
                                      "white blinking"};
  return names[wanted & (LIGHT_BLINKING | COLORS)];
}
