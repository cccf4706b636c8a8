/* The camera's view: from rows of RGB565 to the net's rows, bit for bit what training showed the net.
 *
 * The centre square of the frame, each channel expanded by repeating its high bits, shrunk by 3:2 (96) or 3 (48) as
 * (weighted sum + 4) / 9, quantised as pixel XOR 0x80. Rows go in one by one and come out as soon as they are whole, so
 * that no frame and no whole input is held. */
#ifndef PREPROCESS_H
#define PREPROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "camera.h"
#include "classifier.h"

typedef struct {
  uint16_t sums[CLASSIFIER_ROW_BYTES];
} preprocess;

/* Takes row `y` of a frame (row 0 first, CAMERA_ROW_BYTES bytes, high byte first) and writes the net's next row.
 * Returns the number of that row, or -1 where this row made none whole. */
int32_t preprocess_row(preprocess *self, int32_t y, const uint8_t *row, int8_t *out);

#endif
