#include "lights.h"

#include "config.h"
#include "indicator.h"

enum { RED = 1, GREEN = 2, BLUE = 4, NOTHING_YET = 0xFF };

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
  switch (wanted) {
    case LIGHT_GREEN:
      return GREEN;
    case LIGHT_RED:
      return RED;
    case LIGHT_RED_BLINKING:
      return lit ? RED : 0;
    case LIGHT_BLUE:
      return BLUE;
    case LIGHT_OFF:
      break;
  }
  return 0;
}

void lights_update(lights *self, uint32_t now_ms) {
  const bool lit = (now_ms - self->since_ms) / BLINK_MS % 2 == 0;
  const uint8_t colors = colors_of(self->wanted, lit);
  if (colors != self->shown) {
    self->shown = colors;
    indicator_set((colors & RED) != 0, (colors & GREEN) != 0, (colors & BLUE) != 0);
  }
}

const char *lights_name(light wanted) {
  static const char *const names[] = {"off", "green", "red", "red blinking", "blue"};
  return names[wanted];
}
