/* Whether a picture can be used at all: measured on the net's own input, row by row. */
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
  int32_t clipped;    /* of 10,000 pixels, those of luma 250 and more */
  int32_t sharpness;  /* variance of the luma's Laplacian */
} quality_values;

typedef enum { QUALITY_GOOD, QUALITY_DARK, QUALITY_BRIGHT, QUALITY_BLURRED } quality_verdict;

void quality_begin(quality *self);
void quality_add_row(quality *self, int32_t index, const int8_t *row);
quality_values quality_finish(const quality *self);

/* Judges by the limits of config.h. */
quality_verdict quality_judge(const quality_values *values);

#endif
