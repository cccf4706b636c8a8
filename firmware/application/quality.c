#include "quality.h"

#include <string.h>

#include "config.h"

enum { CLIPPED_LUMA = 250, PIXELS = MODEL_WIDTH * MODEL_HEIGHT, INNER = (MODEL_WIDTH - 2) * (MODEL_HEIGHT - 2) };

void quality_begin(quality *self) { memset(self, 0, sizeof *self); }

/* ITU-R BT.601, in 1/256. */
static uint8_t luma_of(const int8_t *pixel) {
  const int32_t red = pixel[0] + 128, green = pixel[1] + 128, blue = pixel[2] + 128;
  return (uint8_t)((77 * red + 150 * green + 29 * blue + 128) >> 8);
}

static void add_edges(quality *self, const uint8_t *above, const uint8_t *here, const uint8_t *below) {
  for (int32_t x = 1; x < MODEL_WIDTH - 1; x++) {
    const int32_t edge = 4 * here[x] - here[x - 1] - here[x + 1] - above[x] - below[x];
    self->edges += edge;
    self->squares += edge * edge;
  }
}

void quality_add_row(quality *self, int32_t index, const int8_t *row) {
  uint8_t *here = self->rows[index % 3];
  for (int32_t x = 0; x < MODEL_WIDTH; x++) {
    here[x] = luma_of(row + x * MODEL_CHANNELS);
    self->luma += here[x];
    self->clipped += here[x] >= CLIPPED_LUMA;
  }
  if (index >= 2) {
    add_edges(self, self->rows[(index + 1) % 3], self->rows[(index + 2) % 3], here);
  }
}

quality_values quality_finish(const quality *self) {
  const quality_values values = {
      .brightness = (self->luma + PIXELS / 2) / PIXELS,
      .clipped = (int32_t)((int64_t)self->clipped * 10000 / PIXELS),
      .sharpness = (int32_t)((self->squares - self->edges * self->edges / INNER) / INNER),
  };
  return values;
}

quality_verdict quality_judge(const quality_values *values) {
  if (values->brightness < DARK) {
    return QUALITY_DARK;
  }
  if (values->brightness > BRIGHT || values->clipped > 10 * CLIPPED) {
    return QUALITY_BRIGHT;
  }
  return values->sharpness < BLURRED ? QUALITY_BLURRED : QUALITY_GOOD;
}
