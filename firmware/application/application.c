#include "application.h"

#include <stddef.h>

#include "board.h"
#include "coding.h"
#include "pattern.h"
#include "state.h"

enum { PATTERN_ROW = CAMERA_HEIGHT / 2, LAMPS_SHOWN = 3 };

static application self_;

void enter(application *self, stage next) {
  self->stage = next;
  self->since_ms = board_ms();
  self->row = 0;
  self->frame_begun = false;
  self->crc = 0;
  if (next == VECTORS) {
    self->vector = 0;
    self->wrong_vectors = 0;
  }
}

static bool is_over(const application *self, uint32_t limit_ms) { return board_ms() - self->since_ms >= limit_ms; }

static void show(application *self, light wanted) { lights_say(&self->lights, wanted, board_ms()); }

static bool is_refused(const application *self) { return self->net_refused || self->camera_refused; }

void resume(application *self) { enter(self, self->camera_well ? START : BROKEN); }

void fail_camera(application *self, const char *why) {
  self->camera_said = why;
  self->camera_well = false;
  decision_clear(&self->decision);
  show(self, LIGHT_BLUE);
  if (self->testing) {
    self->pattern_said = "not tested";
    enter(self, VECTORS);
    return;
  }
  enter(self, BROKEN);
  say_picture(self, false, false, is_refused(self) ? "refused" : "no camera");
}

static void step_lamps(application *self) {
  static const light lamps[LAMPS_SHOWN] = {LIGHT_RED, LIGHT_GREEN, LIGHT_BLUE};
  const uint32_t shown = (board_ms() - self->since_ms) / LAMP_TEST_MS;
  if (shown >= LAMPS_SHOWN) {
    show(self, LIGHT_OFF);
    enter(self, OPEN);
    return;
  }
  show(self, lamps[shown]);
}

static void step_open(application *self) {
  const camera_status status = camera_open();
  if (status == CAMERA_OK) {
    self->camera_said = "ok";
    self->camera_well = true;
    enter(self, PATTERN);
  } else if (status == CAMERA_FAILED) {
    fail_camera(self, camera_fault());
  } else if (is_over(self, OPEN_MS)) {
    fail_camera(self, "the camera does not wake");
  }
}

/* Begins a frame where none has begun, else asks for its next row; a row is there where CAMERA_OK comes back. */
static camera_status ask_camera(application *self, bool pattern) {
  if (!self->frame_begun) {
    const camera_status status = camera_start(pattern);
    self->frame_begun = status == CAMERA_OK;
    return status == CAMERA_FAILED ? CAMERA_FAILED : CAMERA_WAIT;
  }
  const camera_status status = camera_row(self->row, self->camera_row);
  if (status == CAMERA_OK && self->swapped && !pattern) {
    for (int32_t at = 0; at < CAMERA_ROW_BYTES; at += 2) {
      const uint8_t low = self->camera_row[at];
      self->camera_row[at] = self->camera_row[at + 1];
      self->camera_row[at + 1] = low;
    }
  }
  return status;
}

static void judge_pattern(application *self) {
  const pattern_verdict verdict = pattern_judge(self->camera_row);
  self->swapped = verdict == PATTERN_SWAPPED;
  self->camera_refused = verdict == PATTERN_WRONG && PATTERN_NEEDED;
  self->pattern_said = verdict == PATTERN_WRONG ? "wrong colours" : "ok";
}

static void step_pattern(application *self) {
  const camera_status status = ask_camera(self, true);
  if (status == CAMERA_FAILED || is_over(self, FRAME_MS)) {
    fail_camera(self, status == CAMERA_FAILED ? camera_fault() : "no frame comes");
  } else if (status == CAMERA_OK && self->row++ == PATTERN_ROW) {
    judge_pattern(self);
    enter(self, self->testing ? VECTORS : START);
  }
}

static void end_vectors(application *self) {
  self->net_refused = self->wrong_vectors > 0;
  self->golden_said = self->net_refused ? "the net's answers are wrong" : "ok";
  if (self->answering_golden) {
    self->answering_golden = false;
    say_golden_end(self);
  } else {
    self->testing = false;
    say_self_test(self);
  }
  resume(self);
}

static void step_vectors(application *self) {
  if (self->owed) {
    return;
  }
  if (self->vector == classifier_golden_count()) {
    end_vectors(self);
    return;
  }
  const bool right = classifier_golden_run(self->vector);
  self->wrong_vectors += !right;
  if (self->answering_golden) {
    say_golden(self, self->vector, right);
  }
  self->vector++;
}

void begin_picture(application *self) {
  quality_begin(&self->quality);
  self->begun_us = board_us();
  self->net_us = 0;
}

bool take_camera_row(application *self, const uint8_t *row) {
  const int32_t index = view_take_row(&self->view, self->row, row, self->net_row);
  if (index >= 0) {
    quality_take_row(&self->quality, index, self->net_row);
    const uint32_t before = board_us();
    classifier_take_row(index, self->net_row);
    self->net_us += board_us() - before;
  }
  self->row++;
  return self->row == CAMERA_HEIGHT;
}

static void step_rows(application *self) {
  uint8_t *frame = classifier_frame();
  const camera_status status = ask_camera(self, false);
  if (status == CAMERA_FAILED || is_over(self, FRAME_MS)) {
    fail_camera(self, status == CAMERA_FAILED ? camera_fault() : "no frame comes");
    return;
  }
  if (status != CAMERA_OK) {
    return;
  }
  if (frame == NULL) {
    if (take_camera_row(self, self->camera_row)) {
      enter(self, FINISH);
    }
    return;
  }
  for (int32_t at = 0; at < CAMERA_ROW_BYTES; at++) {
    frame[self->row * CAMERA_ROW_BYTES + at] = self->camera_row[at];
  }
  if (++self->row == CAMERA_HEIGHT) {
    enter(self, FINISH);
  }
}

static void step_finish(application *self) {
  const uint8_t *frame = classifier_frame();
  self->capture_us = board_us() - self->begun_us;
  if (frame != NULL) {
    while (!take_camera_row(self, frame + self->row * CAMERA_ROW_BYTES)) {
    }
  }
  finish_picture(self, false);
  enter(self, START);
}

static const char *judge_scores(application *self) {
  decision_take(&self->decision, self->scores);
  if (is_refused(self)) {
    show(self, LIGHT_BLUE);
    return "refused";
  }
  const bool alarm = self->decision.label == CLASSIFIER_ALARM;
  show(self, self->decision.alarming ? LIGHT_RED_BLINKING : alarm ? LIGHT_RED : LIGHT_GREEN);
  return model_labels[self->decision.label];
}

void finish_picture(application *self, bool injected) {
  static const char *const faults[] = {"", "dark", "bright", "blurred"};
  self->values = quality_finish(&self->quality);
  self->frames++;
  const quality_verdict fault = quality_judge(&self->values);
  const char *verdict = faults[fault];
  if (fault == QUALITY_GOOD) {
    const uint32_t before = board_us();
    classifier_finish(self->scores);
    self->inference_us = self->net_us + board_us() - before;
    verdict = judge_scores(self);
  } else {
    decision_clear(&self->decision);
    show(self, LIGHT_BLUE);
  }
  self->loop_us = board_us() - self->begun_us;
  say_picture(self, injected, fault == QUALITY_GOOD, verdict);
}

static void step_start(application *self) {
  begin_picture(self);
  enter(self, ROWS);
}

static void step_broken(application *self) {
  if (is_over(self, RETRY_MS)) {
    enter(self, OPEN);
  }
}

static void step_inject(application *self) {
  if (is_over(self, INJECT_MS)) {
    resume(self);
    say_error(self, "time-out", "no row came for two seconds");
  }
}

static void step_hold(application *self) {
  if (is_over(self, HOLD_MS)) {
    decision_clear(&self->decision);
    resume(self);
  }
}

/* One line a step, as fast as the PC reads; without memory for a frame the camera is asked for each row just then. */
static void step_dump(application *self) {
  if (self->owed) {
    return;
  }
  if (self->row == CAMERA_HEIGHT) {
    say_frame_end(self);
    enter(self, START);
    return;
  }
  const bool begun = self->frame_begun;
  const camera_status status = ask_camera(self, false);
  if (status == CAMERA_FAILED || is_over(self, FRAME_MS)) {
    fail_camera(self, status == CAMERA_FAILED ? camera_fault() : "no frame comes");
    say_error(self, "no-camera", self->camera_said);
  } else if (!begun && self->frame_begun) {
    say_frame(self);
  } else if (status == CAMERA_OK) {
    self->crc = crc32_add(self->crc, self->camera_row, CAMERA_ROW_BYTES);
    say_frame_row(self, self->row, self->camera_row);
    self->row++;
    self->since_ms = board_ms();
  }
}

static void step_stage(application *self) {
  static void (*const steps[])(application *) = {
      [LAMPS] = step_lamps,   [OPEN] = step_open, [PATTERN] = step_pattern, [VECTORS] = step_vectors,
      [START] = step_start,   [ROWS] = step_rows, [FINISH] = step_finish,   [BROKEN] = step_broken,
      [INJECT] = step_inject, [HOLD] = step_hold, [DUMP] = step_dump,
  };
  steps[self->stage](self);
}

/* An answer that nobody reads is given up. */
static void settle(application *self) {
  if (!self->owed) {
    return;
  }
  if (board_ms() - self->owed_since_ms < ANSWER_MS) {
    answer(self);
    return;
  }
  self->owed = false;
  if (self->stage == DUMP || self->stage == INJECT || self->answering_golden) {
    self->answering_golden = false;
    resume(self);
  }
}

void application_begin(void) {
  application *self = &self_;
  lights_begin(&self->lights);
  line_begin(&self->in);
  decision_clear(&self->decision);
  self->camera_said = "not tested";
  self->pattern_said = "not tested";
  self->golden_said = "not tested";
  self->telling = true;
  self->testing = true;
  enter(self, LAMPS);
  say_version(self, "hello");
}

void application_step(void) {
  application *self = &self_;
  settle(self);
  listen(self);
  step_stage(self);
  lights_step(&self->lights, board_ms());
  if (!self->restarting) {
    board_feed_watchdog();
  }
}
