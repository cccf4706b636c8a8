/* The results of the tests of the camera and of the network. */
#ifndef SELF_TEST_H
#define SELF_TEST_H

#include <stdbool.h>

#include "color_bar_test.h"

typedef struct {
  const char *camera_error; /* the cause of the camera's failure; NULL if it works */
  color_bars bars;
  bool golden_failed; /* logits or scores of a golden vector differ from the reference */
} self_test;

/* Marks everything as not tested. */
void self_test_init(self_test *self);

/* Returns true if no verdict may be shown: the order of the camera's bytes is unknown, or the network's results are
 * wrong. */
bool self_test_refuses(const self_test *self);

/* Returns true if every test has passed. Wrong color bars alone are a warning. */
bool self_test_passed(const self_test *self);

/* The results as texts of the message `selftest`: "ok" or the cause of the failure. */
const char *self_test_camera_text(const self_test *self);
const char *self_test_color_bars_text(const self_test *self);
const char *self_test_golden_text(const self_test *self);

#endif
