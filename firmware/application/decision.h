/* The decision that the light shows: scores are smoothed over images, with hysteresis against flicker. */
#ifndef DECISION_H
#define DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "classifier.h"

enum { SMOOTHED_ONE = 65536 };

typedef struct {
  int32_t smoothed[CLASSIFIER_LABELS]; /* 0 to SMOOTHED_ONE */
  int32_t label;
  bool alarming; /* the decision is the alarm, with a score above ALARM_ON */
  bool started;  /* an image was taken since the reset */
} decision;

/* Discards all images so far: the next one counts in full. */
void decision_reset(decision *self);

/* Updates the decision with an image's scores: 0 to SCORE_ONE, one per label. */
void decision_update(decision *self, const int32_t *scores);

#endif
