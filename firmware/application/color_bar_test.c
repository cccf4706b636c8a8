#include "color_bar_test.h"

#include "camera.h"

enum { BARS = 8, BAR = CAMERA_WIDTH / BARS, ON_MIN = 160, OFF_MAX = 96 };

/* Red, green and blue of the bars, as bits 4, 2 and 1. */
static const uint8_t kColors[BARS] = {7, 6, 3, 2, 5, 4, 1, 0};

static bool is_channel(int32_t value, bool on) { return on ? value >= ON_MIN : value < OFF_MAX; }

static bool is_color(uint32_t high, uint32_t low, uint8_t color) {
  const int32_t red = (int32_t)(high & 0xF8), green = (int32_t)((high & 7) << 5 | (low >> 3 & 0x1C));
  const int32_t blue = (int32_t)((low & 0x1F) << 3);
  return is_channel(red, (color & 4) != 0) && is_channel(green, (color & 2) != 0) && is_channel(blue, (color & 1) != 0);
}

static bool matches(const uint8_t *row, bool swapped, bool mirrored) {
  for (int32_t bar = 0; bar < BARS; bar++) {
    const uint8_t *pixel = row + 2 * (bar * BAR + BAR / 2);
    if (!is_color(pixel[swapped], pixel[!swapped], kColors[mirrored ? BARS - 1 - bar : bar])) {
      return false;
    }
  }
  return true;
}

color_bar_result color_bar_test_row(const uint8_t *row) {
  if (matches(row, false, false) || matches(row, false, true)) {
    return COLOR_BARS_RIGHT;
  }
  return matches(row, true, false) || matches(row, true, true) ? COLOR_BARS_SWAPPED : COLOR_BARS_WRONG;
}
