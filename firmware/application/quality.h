/* Measures whether an image can be used, row by row, on the network's input. */
#ifndef QUALITY_H
#define QUALITY_H

#include <stdint.h>

#include "classifier.h"

typedef struct {
  int64_t squares;
  int64_t edges;
  int32_t luma;
  int32_t clipped;
  uint8_t rows[3][MODEL_WIDTH];
} quality;

typedef struct {
  int32_t brightness; /* mean luma, 0 to 255 */
  int32_t clipped;    /* pixels of 10,000 with a luma of 250 or more */
  int32_t sharpness;  /* variance of the luma's Laplacian */
} quality_values;

typedef enum { QUALITY_GOOD, QUALITY_DARK, QUALITY_BRIGHT, QUALITY_BLURRED } quality_verdict;

void quality_begin(quality *self);
void quality_add_row(quality *self, int32_t index, const int8_t *row);
quality_values quality_finish(const quality *self);

/* Compares the values with the limits of config.h. */
quality_verdict quality_judge(const quality_values *values);

#endif
