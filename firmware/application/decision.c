#include "decision.h"

#include <string.h>

#include "config.h"

enum { FINER = SMOOTHED_ONE / SCORE_ONE };

void decision_reset(decision *self) { memset(self, 0, sizeof *self); }

static bool exceeds(int32_t smoothed, int32_t percent) { return smoothed * 100LL > percent * (int64_t)SMOOTHED_ONE; }

static int32_t best_of(const int32_t *smoothed) {
  int32_t best = 0;
  for (int32_t label = 1; label < CLASSIFIER_LABELS; label++) {
    if (smoothed[label] > smoothed[best]) {
      best = label;
    }
  }
  return best;
}

void decision_update(decision *self, const int32_t *scores) {
  for (int32_t label = 0; label < CLASSIFIER_LABELS; label++) {
    const int32_t fresh = scores[label] * FINER;
    const int32_t change = fresh - self->smoothed[label];
    self->smoothed[label] = self->started ? self->smoothed[label] + change / (1 << SMOOTHING) : fresh;
  }
  const int32_t best = best_of(self->smoothed);
  if (!self->started || exceeds(self->smoothed[best] - self->smoothed[self->label], MARGIN)) {
    self->label = best;
  }
  const int32_t alarm = self->smoothed[CLASSIFIER_ALARM];
  self->alarming = self->label == CLASSIFIER_ALARM &&
                   (exceeds(alarm, ALARM_ON) || (self->alarming && !exceeds(SMOOTHED_ONE - alarm, 100 - ALARM_OFF)));
  self->started = true;
}
