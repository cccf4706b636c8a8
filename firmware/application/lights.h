/* The light: its color, and whether it blinks. */
#ifndef LIGHTS_H
#define LIGHTS_H

#include <stdbool.h>
#include <stdint.h>

/* Bits of a color, and of a light that blinks. Blue alone means that there is no verdict. */
enum {
  LIGHT_RED = 1,
  LIGHT_GREEN = 2,
  LIGHT_BLUE = 4,
  LIGHT_BLINKING = 8,
  LIGHT_OFF = 0,
};

typedef uint8_t light;

typedef struct {
  light wanted;
  uint32_t since_ms;
  uint8_t shown; /* the colors that are lit; 0xFF before the first update */
} lights;

void lights_init(lights *self);

/* Sets the light from now on. A blinking light starts lit. Setting the same light again changes nothing. */
void lights_set(lights *self, light wanted, uint32_t now_ms);

/* Switches the indicator if its state has to change now. */
void lights_update(lights *self, uint32_t now_ms);

/* Returns the name in messages, such as "red blinking". */
const char *lights_name(light wanted);

#endif
