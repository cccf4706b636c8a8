/* The camera's test picture tells the order of a pixel's two bytes, and that the colors arrive at all. */
#ifndef COLOR_BAR_TEST_H
#define COLOR_BAR_TEST_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { COLOR_BARS_NOT_TESTED, COLOR_BARS_RIGHT, COLOR_BARS_SWAPPED, COLOR_BARS_WRONG } color_bar_result;

/* Judges a row of eight bars: white, yellow, cyan, green, magenta, red, blue, black, or the other way round. */
color_bar_result color_bar_test_row(const uint8_t *row);

#endif
