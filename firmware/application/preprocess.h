/* Converts rows of RGB565 into rows of the network's input, bit-exact with the preprocessing of the training.
 *
 * The center square of the frame is expanded to 8 bits per channel by repeating the high bits, downscaled by 3:2 (to
 * 96) or 3:1 (to 48) as (weighted sum + 4) / 9, and quantized as pixel XOR 0x80. Rows are converted one at a time:
 * neither a frame nor an input image is stored. */
#ifndef PREPROCESS_H
#define PREPROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "camera.h"
#include "classifier.h"

typedef struct {
  uint16_t sums[CLASSIFIER_ROW_BYTES];
} preprocess;

/* Takes row `y` of a frame: rows in order from 0, CAMERA_ROW_BYTES bytes, high byte first. If it completes a row of the
 * network's input, writes that row to `out` and returns its number; else returns -1. `out` may be written in either
 * case. */
int32_t preprocess_row(preprocess *self, int32_t y, const uint8_t *row, int8_t *out);

#endif
