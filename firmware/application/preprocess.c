#include "preprocess.h"

#include <assert.h>

enum { SIDE = MODEL_HEIGHT, LEFT = (CAMERA_WIDTH - CAMERA_HEIGHT) / 2, TRIPLES = CAMERA_HEIGHT / 3 };

static_assert(MODEL_HEIGHT == MODEL_WIDTH && (SIDE == 96 || SIDE == 48), "the input must be 96x96 or 48x48");
static_assert(MODEL_CHANNELS == 3, "the input must have three channels");
static_assert(MODEL_INPUT_ZERO == -128, "the input must have the zero point -128");

static void expand(const uint8_t *pixel, int32_t *channels) {
  const int32_t high = pixel[0], low = pixel[1];
  const int32_t red = high >> 3, green = (high & 7) << 3 | low >> 5, blue = low & 31;
  channels[0] = red << 3 | red >> 2;
  channels[1] = green << 2 | green >> 4;
  channels[2] = blue << 3 | blue >> 2;
}

static int8_t ninth(int32_t sum) { return (int8_t)((uint8_t)((sum + 4) / 9) ^ 0x80u); }

/* Three rows (a, b, c) give two: 2a + b and b + 2c. The same holds for pixels. */
static int8_t combine(uint16_t *kept, int32_t value, int32_t phase) {
  const int32_t before = *kept;
  *kept = (uint16_t)value;
  return ninth(phase == 1 ? 2 * before + value : before + 2 * value);
}

static int32_t shrink_by_3_2(preprocess *self, int32_t y, const uint8_t *row, int8_t *out) {
  const int32_t phase = y % 3;
  uint16_t *kept = self->sums;
  row += 2 * LEFT;
  for (int32_t triple = 0; triple < TRIPLES; triple++, row += 6, kept += 6, out += 6) {
    int32_t first[3], middle[3], last[3];
    expand(row, first);
    expand(row + 2, middle);
    expand(row + 4, last);
    for (int32_t channel = 0; channel < 3; channel++) {
      out[channel] = combine(&kept[channel], 2 * first[channel] + middle[channel], phase);
      out[channel + 3] = combine(&kept[channel + 3], middle[channel] + 2 * last[channel], phase);
    }
  }
  return phase == 0 ? -1 : y / 3 * 2 + phase - 1;
}

static int32_t shrink_by_3(preprocess *self, int32_t y, const uint8_t *row, int8_t *out) {
  const int32_t phase = y % 3;
  uint16_t *kept = self->sums;
  row += 2 * LEFT;
  for (int32_t triple = 0; triple < TRIPLES; triple++, row += 6, kept += 3, out += 3) {
    int32_t first[3], middle[3], last[3];
    expand(row, first);
    expand(row + 2, middle);
    expand(row + 4, last);
    for (int32_t channel = 0; channel < 3; channel++) {
      const int32_t before = phase == 0 ? 0 : kept[channel];
      kept[channel] = (uint16_t)(before + first[channel] + middle[channel] + last[channel]);
      out[channel] = ninth(kept[channel]);
    }
  }
  return phase == 2 ? y / 3 : -1;
}

int32_t preprocess_row(preprocess *self, int32_t y, const uint8_t *row, int8_t *out) {
  return SIDE == 96 ? shrink_by_3_2(self, y, row, out) : shrink_by_3(self, y, row, out);
}
