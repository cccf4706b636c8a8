#include "color_bar_test.h"

#include <string.h>

enum {
  SENSOR_BAR = CAMERA_SENSOR_WIDTH / CAMERA_BARS,
  LEFT = (CAMERA_SENSOR_WIDTH - CAMERA_SENSOR_SHOWN) / 2,
  SHRINK = CAMERA_SENSOR_SHOWN / CAMERA_WIDTH,
  CHANNELS = 3,
  CONTRAST_MIN = 40, /* of a channel: the brightest bar less the darkest */
  RIGHT_MIN = 20,    /* of 24 channels of bars, to trust an order ... */
  LEAD_MIN = 4,      /* ... and by how much it leads */
};

/* Red, green and blue of the bars, as bits 4, 2 and 1. */
static const uint8_t colors[CAMERA_BARS] = {7, 6, 3, 2, 5, 4, 1, 0};

/* Returns the center of the part of a bar that the frame shows, in pixels of the frame. */
static int32_t center_of(int32_t bar) {
  const int32_t first = bar * SENSOR_BAR - LEFT, last = first + SENSOR_BAR;
  const int32_t from = first < 0 ? 0 : first, to = last > CAMERA_SENSOR_SHOWN ? CAMERA_SENSOR_SHOWN : last;
  return (from + to) / 2 / SHRINK;
}

static void read_bars(const uint8_t *row, bool low_first, uint8_t seen[CAMERA_BARS][CHANNELS]) {
  for (int32_t bar = 0; bar < CAMERA_BARS; bar++) {
    const uint8_t *pixel = row + 2 * center_of(bar);
    const uint32_t value = (uint32_t)pixel[low_first] << 8 | pixel[!low_first];
    const uint32_t red = value >> 11, green = value >> 5 & 63, blue = value & 31;
    seen[bar][0] = (uint8_t)(red << 3 | red >> 2);
    seen[bar][1] = (uint8_t)(green << 2 | green >> 4);
    seen[bar][2] = (uint8_t)(blue << 3 | blue >> 2);
  }
}

/* Returns the middle between the darkest and the brightest bar in a channel, or -1 if they are too similar. */
static int32_t middle_of(uint8_t seen[CAMERA_BARS][CHANNELS], int32_t channel) {
  int32_t low = 255, high = 0;
  for (int32_t bar = 0; bar < CAMERA_BARS; bar++) {
    const int32_t value = seen[bar][channel];
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  return high - low < CONTRAST_MIN ? -1 : (low + high) / 2;
}

/* Compares the bars with their colors, and returns the number of channels that are right. */
static int32_t judge(color_bars *self) {
  int32_t right = 0;
  self->wrong_bars = 0;
  for (int32_t bar = 0; bar < CAMERA_BARS; bar++) {
    self->expected[bar] = colors[self->mirrored ? CAMERA_BARS - 1 - bar : bar];
    self->right[bar] = true;
    for (int32_t channel = 0; channel < CHANNELS; channel++) {
      const int32_t middle = middle_of(self->seen, channel);
      const bool on = (self->expected[bar] >> (CHANNELS - 1 - channel) & 1) != 0;
      const bool matches = middle >= 0 && (self->seen[bar][channel] > middle) == on;
      right += matches;
      self->right[bar] = self->right[bar] && matches;
    }
    self->wrong_bars += !self->right[bar];
  }
  return right;
}

/* Judges a row in one order of its bytes, plain and mirrored, and returns the better number of right channels. */
static int32_t judge_order(color_bars *self, const uint8_t *row, bool low_first) {
  read_bars(row, low_first, self->seen);
  self->mirrored = true;
  const int32_t mirrored = judge(self);
  self->mirrored = false;
  const int32_t plain = judge(self);
  if (plain >= mirrored) {
    return plain;
  }
  self->mirrored = true;
  return judge(self);
}

void color_bar_test_init(color_bars *self) { memset(self, 0, sizeof *self); }

void color_bar_test_row(color_bars *self, const uint8_t *row) {
  const int32_t low_first = judge_order(self, row, true);
  int32_t best = judge_order(self, row, false), other = low_first;
  self->order = COLOR_BARS_HIGH_FIRST;
  if (low_first > best) {
    other = best;
    best = judge_order(self, row, true);
    self->order = COLOR_BARS_LOW_FIRST;
  }
  if (best < RIGHT_MIN || best - other < LEAD_MIN) {
    self->order = COLOR_BARS_UNKNOWN;
  }
}

const char *color_bar_test_name(uint8_t expected) {
  static const char *const names[] = {"black", "blue", "green", "cyan", "red", "magenta", "yellow", "white"};
  return names[expected & 7];
}
