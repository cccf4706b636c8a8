/* The camera's test picture tells the order of a pixel's two bytes, and that the colours arrive at all. */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { PATTERN_NOT_TESTED, PATTERN_RIGHT, PATTERN_SWAPPED, PATTERN_WRONG } pattern_verdict;

/* Judges a row of eight bars: white, yellow, cyan, green, magenta, red, blue, black, or the other way round. */
pattern_verdict pattern_judge(const uint8_t *row);

#endif
