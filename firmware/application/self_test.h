/* What the tests of the camera and of the network have found so far. */
#ifndef SELF_TEST_H
#define SELF_TEST_H

#include <stdbool.h>

#include "color_bar_test.h"

typedef struct {
  const char *camera_error; /* NULL: the camera works */
  color_bar_result color_bars;
  bool golden_failed; /* a golden vector gave other logits or scores than the reference */
} self_test;

/* Before the first test: the camera is not known to work. */
void self_test_init(self_test *self);

/* True if no verdict may be shown: the colors of the camera or the arithmetic of the network are wrong. */
bool self_test_refuses(const self_test *self);

/* True if everything works. */
bool self_test_passed(const self_test *self);

/* The texts of the message `selftest`: "ok", or what is wrong. */
const char *self_test_camera_text(const self_test *self);
const char *self_test_color_bars_text(const self_test *self);
const char *self_test_golden_text(const self_test *self);

#endif
