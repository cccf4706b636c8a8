#include "self_test.h"

#include <stddef.h>

#include "config.h"

static const char kNotTested[] = "not tested";

void self_test_init(self_test *self) {
  self->camera_error = kNotTested;
  color_bar_test_init(&self->bars);
  self->golden_failed = false;
}

bool self_test_refuses(const self_test *self) {
  return self->golden_failed || (self->bars.order == COLOR_BARS_UNKNOWN && COLOR_BARS_REQUIRED);
}

bool self_test_passed(const self_test *self) { return self->camera_error == NULL && !self_test_refuses(self); }

const char *self_test_camera_text(const self_test *self) {
  return self->camera_error == NULL ? "ok" : self->camera_error;
}

const char *self_test_color_bars_text(const self_test *self) {
  switch (self->bars.order) {
    case COLOR_BARS_HIGH_FIRST:
    case COLOR_BARS_LOW_FIRST:
      return self->bars.wrong_bars == 0 ? "ok" : "some bars have other colors";
    case COLOR_BARS_UNKNOWN:
      return "the order of the bytes is unknown";
    case COLOR_BARS_NOT_TESTED:
      break;
  }
  return kNotTested;
}

const char *self_test_golden_text(const self_test *self) {
  return self->golden_failed ? "the results differ from the reference" : "ok";
}
