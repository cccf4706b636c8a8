/* Scores one image, row by row: its quality and, if it can be used, the scores of the network. */
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
  uint32_t network_us; /* time spent in the network so far */
  uint32_t row_us;     /* the longest time for one row of the network */
  int32_t rows;        /* of the frame, taken so far */
  preprocess preprocess;
  quality quality;
  scoring_result result;
  int8_t network_row[CLASSIFIER_ROW_BYTES] __attribute__((aligned(4)));
} scoring;

void scoring_begin(scoring *self);

/* Takes the next row of a frame: CAMERA_ROW_BYTES bytes, high byte first. */
void scoring_take_row(scoring *self, const uint8_t *row);

/* Finishes the image after its last row: rates its quality and, if it is good, runs the rest of the network. The result
 * is valid until the next image is finished. */
const scoring_result *scoring_finish(scoring *self);

#endif
