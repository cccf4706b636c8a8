/* The seam to the net: what a generated model becomes for the application. */
#ifndef CLASSIFIER_H
#define CLASSIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

enum {
  CLASSIFIER_ROW_BYTES = MODEL_WIDTH * MODEL_CHANNELS,
  CLASSIFIER_LABELS = MODEL_LABELS,
  CLASSIFIER_ALARM = MODEL_ALARM,
  SCORE_ONE = 256, /* scores are counted in 1/256 */
};

/* Gives the next picture's row `index`, quantised (pixel XOR 0x80); row 0 begins a picture. */
void classifier_take_row(int32_t index, const int8_t *row);

/* Runs what is left of the net; scores are 0 to SCORE_ONE, one a label. It takes one inference's time. */
void classifier_finish(int32_t *scores);

/* What the softmax of the last picture read. */
const int8_t *classifier_logits(void);

/* How many golden vectors there are, and whether one gives the very logits and scores that the reference has. */
int32_t classifier_golden_count(void);
bool classifier_golden_run(int32_t vector);
const int8_t *classifier_golden_expected(int32_t vector);

/* Memory for a whole frame, shared with the net's, or NULL where the net takes its rows as they come. It is lost as
 * rows are given, but never before a caller who goes through it in order has read them. */
uint8_t *classifier_frame_buffer(void);

#endif
