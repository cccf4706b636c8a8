#include "pattern.h"

#include "camera.h"

enum { BARS = 8, BAR = CAMERA_WIDTH / BARS, LIT = 160, UNLIT = 96 };

/* Red, green and blue of the bars, as bits 4, 2 and 1. */
static const uint8_t kColours[BARS] = {7, 6, 3, 2, 5, 4, 1, 0};

static bool is_as_lit(int32_t value, bool lit) { return lit ? value >= LIT : value < UNLIT; }

static bool is_colour(uint32_t high, uint32_t low, uint8_t colour) {
  const int32_t red = (int32_t)(high & 0xF8), green = (int32_t)((high & 7) << 5 | (low >> 3 & 0x1C));
  const int32_t blue = (int32_t)((low & 0x1F) << 3);
  return is_as_lit(red, (colour & 4) != 0) && is_as_lit(green, (colour & 2) != 0) && is_as_lit(blue, (colour & 1) != 0);
}

static bool matches(const uint8_t *row, bool swapped, bool mirrored) {
  for (int32_t bar = 0; bar < BARS; bar++) {
    const uint8_t *pixel = row + 2 * (bar * BAR + BAR / 2);
    if (!is_colour(pixel[swapped], pixel[!swapped], kColours[mirrored ? BARS - 1 - bar : bar])) {
      return false;
    }
  }
  return true;
}

pattern_verdict pattern_judge(const uint8_t *row) {
  if (matches(row, false, false) || matches(row, false, true)) {
    return PATTERN_RIGHT;
  }
  return matches(row, true, false) || matches(row, true, true) ? PATTERN_SWAPPED : PATTERN_WRONG;
}
