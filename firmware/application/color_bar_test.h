/* Finds out from the camera's color bars in which order a pixel's two bytes come, and how well the colors arrive. */
#ifndef COLOR_BAR_TEST_H
#define COLOR_BAR_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include "camera.h"

typedef enum {
  COLOR_BARS_NOT_TESTED,
  COLOR_BARS_HIGH_FIRST, /* the high byte comes first */
  COLOR_BARS_LOW_FIRST,
  COLOR_BARS_UNKNOWN, /* the order of the bytes is unknown */
} color_bar_order;

typedef struct {
  color_bar_order order;
  bool mirrored;
  int32_t wrong_bars;            /* bars with a channel on the wrong side of its middle */
  uint8_t expected[CAMERA_BARS]; /* bits for red (4), green (2) and blue (1), from left to right */
  uint8_t seen[CAMERA_BARS][3];  /* red, green and blue, 0 to 255 */
  bool right[CAMERA_BARS];
} color_bars;

void color_bar_test_init(color_bars *self);

/* Judges a row. Each channel is compared with the middle of its own range, so that gain, gamma and weaker colors of the
 * sensor do not matter; the order is known if it explains clearly more than the other one. */
void color_bar_test_row(color_bars *self, const uint8_t *row);

/* Returns the name of an expected color, such as "yellow". */
const char *color_bar_test_name(uint8_t expected);

#endif
