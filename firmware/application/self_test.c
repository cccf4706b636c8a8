#include "self_test.h"

#include <stddef.h>

#include "config.h"

static const char kNotTested[] = "not tested";

void self_test_init(self_test *self) {
  self->camera_error = kNotTested;
  self->color_bars = COLOR_BARS_NOT_TESTED;
  self->golden_failed = false;
}

static bool are_colors_wrong(const self_test *self) {
  return self->color_bars == COLOR_BARS_WRONG && COLOR_BARS_REQUIRED;
}

bool self_test_refuses(const self_test *self) { return self->golden_failed || are_colors_wrong(self); }

bool self_test_passed(const self_test *self) { return self->camera_error == NULL && !self_test_refuses(self); }

const char *self_test_camera_text(const self_test *self) {
  return self->camera_error == NULL ? "ok" : self->camera_error;
}

const char *self_test_color_bars_text(const self_test *self) {
  switch (self->color_bars) {
    case COLOR_BARS_RIGHT:
    case COLOR_BARS_SWAPPED:
      return "ok";
    case COLOR_BARS_WRONG:
      return "wrong colors";
    case COLOR_BARS_NOT_TESTED:
      break;
  }
  return kNotTested;
}

const char *self_test_golden_text(const self_test *self) {
  return self->golden_failed ? "the results differ from the reference" : "ok";
}
