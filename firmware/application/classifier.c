#include "classifier.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "camera.h"
#include "golden.h"

static_assert(MODEL_HAS_SOFTMAX, "the application needs probabilities: the network must end in a softmax");
static_assert((int)GOLDEN_LABELS == (int)MODEL_LABELS &&
                  (int)GOLDEN_BYTES == (int)MODEL_HEIGHT * (int)CLASSIFIER_ROW_BYTES,
              "golden.h does not match model.h");

#if MODEL_ROWS

enum { FRAME_AT = 0, MEMORY_BYTES = MODEL_ARENA_BYTES };

#else

/* The frame overlaps the network's input. Row 2k of the network is complete after row 3k + 1 of the camera, and row
 * 2k + 1 after row 3k + 2. The frame may therefore start up to two camera rows minus one network row before the input:
 * an input row then overwrites only camera rows that have been read. */
enum {
  FRAME_BYTES = CAMERA_HEIGHT * CAMERA_ROW_BYTES,
  AHEAD = 2 * CAMERA_ROW_BYTES - CLASSIFIER_ROW_BYTES,
  FRAME_AT = MODEL_INPUT_AT > AHEAD ? (MODEL_INPUT_AT - AHEAD + 7) / 8 * 8 : 0,
  MEMORY_BYTES = FRAME_AT + FRAME_BYTES > MODEL_ARENA_BYTES ? FRAME_AT + FRAME_BYTES : MODEL_ARENA_BYTES,
};
static_assert(MODEL_HEIGHT <= CAMERA_HEIGHT * 2 / 3, "input rows would overwrite camera rows that have not been read");

#endif

static int8_t memory[MEMORY_BYTES] __attribute__((aligned(8)));

void classifier_take_row(int32_t index, const int8_t *row) { model_take_row(memory, index, row); }

void classifier_finish(int32_t *scores) {
  const int8_t *finished = model_finish(memory);
  for (int32_t label = 0; label < CLASSIFIER_LABELS; label++) {
    scores[label] = finished[label] + 128;
  }
}

const int8_t *classifier_logits(void) { return memory + MODEL_LOGITS_AT; }

int32_t classifier_golden_count(void) { return GOLDEN_COUNT; }

bool classifier_golden_run(int32_t vector) {
  for (int32_t row = 0; row < MODEL_HEIGHT; row++) {
    classifier_take_row(row, golden_images[vector] + row * CLASSIFIER_ROW_BYTES);
  }
  const int8_t *scores = model_finish(memory);
  return memcmp(scores, golden_scores[vector], GOLDEN_LABELS) == 0 &&
         memcmp(classifier_logits(), golden_logits[vector], GOLDEN_LABELS) == 0;
}

const int8_t *classifier_golden_expected(int32_t vector) { return golden_logits[vector]; }

uint8_t *classifier_frame_buffer(void) { return MODEL_ROWS ? NULL : (uint8_t *)memory + FRAME_AT; }
