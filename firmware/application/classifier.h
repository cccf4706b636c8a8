/* The interface to the network: the generated model as the application uses it. */
#ifndef CLASSIFIER_H
#define CLASSIFIER_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

enum {
  CLASSIFIER_ROW_BYTES = MODEL_WIDTH * MODEL_CHANNELS,
  CLASSIFIER_LABELS = MODEL_LABELS,
  CLASSIFIER_ALARM = MODEL_ALARM,
  SCORE_ONE = 256, /* the score that stands for a probability of 1 */
};

/* Takes row `index` of an image, quantized (pixel XOR 0x80). Row 0 starts a new image. */
void classifier_take_row(int32_t index, const int8_t *row);

/* Runs the rest of the network, up to a whole inference, and writes one score per label: 0 to SCORE_ONE. */
void classifier_finish(int32_t *scores);

/* Returns the logits of the last image: the input of the softmax, one value per label. */
const int8_t *classifier_logits(void);

/* Golden vectors are input images with the logits and scores of the reference kernels. */
int32_t classifier_golden_count(void);

/* Runs a golden vector. Returns true if all logits and scores are equal to the reference. */
bool classifier_golden_run(int32_t vector);

/* Returns the reference's logits. */
const int8_t *classifier_golden_expected(int32_t vector);

/* Returns a buffer for a whole frame, or NULL if the network takes its rows as the camera sends them. The buffer shares
 * the network's memory: classifier_take_row overwrites the part of it whose rows have been preprocessed already. */
uint8_t *classifier_frame_buffer(void);

#endif
