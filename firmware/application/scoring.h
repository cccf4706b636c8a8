/* Scores one image, row by row as it comes: what the network says, and whether the image can be used at all. */
#ifndef SCORING_H
#define SCORING_H

#include <stdbool.h>
#include <stdint.h>

#include "classifier.h"
#include "preprocess.h"
#include "quality.h"

typedef struct {
  quality_values quality;
  quality_verdict verdict;           /* QUALITY_GOOD: the network ran */
  int32_t scores[CLASSIFIER_LABELS]; /* 0 to SCORE_ONE, of the last good image */
} scoring_result;

typedef struct {
  uint32_t begun_us;
  uint32_t network_us; /* spent on the network so far */
  int32_t rows;        /* of the camera, taken so far */
  preprocess preprocess;
  quality quality;
  scoring_result result;
  int8_t network_row[CLASSIFIER_ROW_BYTES] __attribute__((aligned(4)));
} scoring;

void scoring_begin(scoring *self);

/* Takes the next row of a frame: CAMERA_ROW_BYTES bytes, high byte first. */
void scoring_take_row(scoring *self, const uint8_t *row);

/* Judges the image after its last row; runs the rest of the network on a good one. The result holds until the next
 * image is finished. */
const scoring_result *scoring_finish(scoring *self);

#endif
