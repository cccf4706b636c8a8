/* What the light says, and when it is on. */
#ifndef LIGHTS_H
#define LIGHTS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { LIGHT_OFF, LIGHT_GREEN, LIGHT_RED, LIGHT_RED_BLINKING, LIGHT_BLUE } light;

typedef struct {
  light wanted;
  uint32_t since_ms;
  uint8_t shown; /* bits red, green, blue; 0xFF: nothing yet */
} lights;

void lights_init(lights *self);

/* Says something from now on; a blinking light starts lit. Saying the same again changes nothing. */
void lights_set(lights *self, light wanted, uint32_t now_ms);

/* Switches the indicator where the time has come. */
void lights_update(lights *self, uint32_t now_ms);

/* "red blinking" and so on. */
const char *lights_name(light wanted);

#endif
