/* What the light goes by: scores smoothed over pictures, and a verdict that does not flicker. */
#ifndef DECISION_H
#define DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "classifier.h"

enum { SMOOTHED_ONE = 65536 };

typedef struct {
  int32_t smoothed[CLASSIFIER_LABELS]; /* 0 to SMOOTHED_ONE */
  int32_t label;
  bool alarming; /* the alarm's label leads, and by more than 80 % */
  bool started;  /* an image was taken since the reset */
} decision;

/* Forgets what was seen. */
void decision_reset(decision *self);

/* Takes the scores of a picture, 0 to SCORE_ONE, one a label. */
void decision_update(decision *self, const int32_t *scores);

#endif
