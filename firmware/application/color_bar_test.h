/* Finds out from the camera's color bars whether colors arrive, and in which order a pixel's two bytes come. */
#ifndef COLOR_BAR_TEST_H
#define COLOR_BAR_TEST_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { COLOR_BARS_NOT_TESTED, COLOR_BARS_RIGHT, COLOR_BARS_SWAPPED, COLOR_BARS_WRONG } color_bar_result;

/* Checks a row of eight bars: white, yellow, cyan, green, magenta, red, blue and black, or mirrored. */
color_bar_result color_bar_test_row(const uint8_t *row);

#endif
