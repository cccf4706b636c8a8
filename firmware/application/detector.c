#include "detector.h"

#include <stddef.h>
#include <string.h>

#include "base64_crc.h"
#include "board.h"
#include "config.h"

enum { COLOR_BAR_ROW = CAMERA_HEIGHT / 2, LAMPS = 3 };

static void restart_timer(detector *self) { self->timer_ms = board_ms(); }

static void set_stage(detector *self, detector_stage next) {
  self->stage = next;
  restart_timer(self);
}

static bool is_over(const detector *self, uint32_t limit_ms) { return board_ms() - self->timer_ms >= limit_ms; }

static bool is_testing(const detector *self) { return self->stage <= STAGE_TEST_GOLDEN; }

static void set_light(detector *self, light wanted) { lights_set(&self->lights, wanted, board_ms()); }

static void begin_frame(detector *self) {
  frame_reader_begin_image(&self->frame, self->test.bars.order == COLOR_BARS_LOW_FIRST);
}

static void begin_color_bars(detector *self, detector_stage next) {
  frame_reader_begin_color_bars(&self->frame);
  set_stage(self, next);
}

static void begin_golden(detector *self, detector_stage next) {
  self->golden.next = 0;
  self->golden.failed = 0;
  set_stage(self, next);
}

/* Continues with the camera's images after a self-test or a command. */
static void resume_images(detector *self) {
  set_stage(self, self->test.camera_error == NULL ? STAGE_IMAGE_BEGIN : STAGE_CAMERA_FAILED);
}

/* `values` is NULL without an image, `scores` without an image that can be used. */
static void send_scores(detector *self, const quality_values *values, const int32_t *scores, const char *verdict) {
  const scores_message message = {
      .frame = self->timing.frames,
      .injected = self->stage == STAGE_FINISH_INJECTION,
      .scores = scores,
      .smoothed = self->decision.smoothed,
      .verdict = verdict,
      .led = self->lights.wanted,
      .quality = values,
      .inference_us = self->timing.inference_us,
  };
  messages_out_send_scores(&self->out, &message);
}

static void fail_camera(detector *self, const char *why) {
  self->test.camera_error = why;
  decision_reset(&self->decision);
  set_light(self, LIGHT_BLUE);
  if (is_testing(self)) {
    begin_golden(self, STAGE_TEST_GOLDEN);
    return;
  }
  set_stage(self, STAGE_CAMERA_FAILED);
  send_scores(self, NULL, NULL, self_test_refuses(&self->test) ? "refused" : "no camera");
}

static void step_test_lamps(detector *self) {
  static const light lamps[LAMPS] = {LIGHT_RED, LIGHT_GREEN, LIGHT_BLUE};
  const uint32_t lamp = (board_ms() - self->timer_ms) / LAMP_TEST_MS;
  if (lamp >= LAMPS) {
    set_light(self, LIGHT_OFF);
    set_stage(self, STAGE_TEST_CAMERA);
    return;
  }
  set_light(self, lamps[lamp]);
}

static void open_camera(detector *self, detector_stage next) {
  const camera_status status = camera_open();
  if (status == CAMERA_OK) {
    self->test.camera_error = NULL;
    begin_color_bars(self, next);
  } else if (status == CAMERA_FAILED) {
    fail_camera(self, camera_error_text());
  } else if (is_over(self, OPEN_MS)) {
    fail_camera(self, "the camera does not start");
  }
}

static void step_test_camera(detector *self) { open_camera(self, STAGE_TEST_COLOR_BARS); }

static void step_reopen_camera(detector *self) { open_camera(self, STAGE_RETEST_COLOR_BARS); }

/* Polls the frame, and changes the stage if the camera has failed. */
static frame_event poll_frame(detector *self) {
  const frame_event event = frame_reader_poll(&self->frame);
  const uint32_t limit_ms = self->frame.rows == FRAME_NOT_STARTED ? START_MS : ROW_MS;
  if (event == FRAME_FAILED || (event == FRAME_WAIT && is_over(self, limit_ms))) {
    fail_camera(self, event == FRAME_FAILED ? camera_error_text() : "the camera sends no frame");
    return FRAME_FAILED;
  }
  if (event != FRAME_WAIT) {
    restart_timer(self);
  }
  return event;
}

static bool test_color_bars(detector *self) {
  if (poll_frame(self) != FRAME_ROW || self->frame.rows <= COLOR_BAR_ROW) {
    return false;
  }
  color_bar_test_row(&self->test.bars, self->frame.row);
  return true;
}

static void step_test_color_bars(detector *self) {
  if (test_color_bars(self)) {
    begin_golden(self, STAGE_TEST_GOLDEN);
  }
}

static void step_retest_color_bars(detector *self) {
  if (test_color_bars(self)) {
    set_stage(self, STAGE_IMAGE_BEGIN);
  }
}

static bool is_golden_finished(const detector *self) { return self->golden.next == classifier_golden_count(); }

static bool run_golden_vector(detector *self) {
  const bool right = classifier_golden_run(self->golden.next);
  self->golden.next++;
  self->golden.failed += !right;
  return right;
}

static void step_test_golden(detector *self) {
  if (!is_golden_finished(self)) {
    (void)run_golden_vector(self);
    return;
  }
  self->test.golden_failed = self->golden.failed > 0;
  messages_out_send_self_test(&self->out, &self->test);
  resume_images(self);
}

static void step_send_golden(detector *self) {
  if (self->out.pending) {
    return;
  }
  if (!is_golden_finished(self)) {
    const int32_t vector = self->golden.next;
    messages_out_send_golden(&self->out, vector, run_golden_vector(self));
    return;
  }
  self->test.golden_failed = self->golden.failed > 0;
  messages_out_send_golden_end(&self->out, self->golden.next - self->golden.failed, self->golden.failed);
  resume_images(self);
}

static void step_image_begin(detector *self) {
  scoring_begin(&self->scoring);
  begin_frame(self);
  set_stage(self, STAGE_IMAGE_ROWS);
}

/* Without a buffer for the whole frame, the network takes each row as it comes. */
static void step_image_rows(detector *self) {
  uint8_t *frame = classifier_frame_buffer();
  if (poll_frame(self) != FRAME_ROW) {
    return;
  }
  if (frame == NULL) {
    scoring_take_row(&self->scoring, self->frame.row);
  } else {
    memcpy(frame + (self->frame.rows - 1) * CAMERA_ROW_BYTES, self->frame.row, CAMERA_ROW_BYTES);
  }
  if (self->frame.rows == CAMERA_HEIGHT) {
    set_stage(self, STAGE_IMAGE_FINISH);
  }
}

/* Updates the decision and the light, and returns the verdict. */
static const char *decide(detector *self, const int32_t *scores) {
  decision_update(&self->decision, scores);
  if (self_test_refuses(&self->test)) {
    set_light(self, LIGHT_BLUE);
    return "refused";
  }
  const light steady = model_lights[self->decision.label] & (light)~LIGHT_BLINKING;
  set_light(self, self->decision.alarming ? model_lights[self->decision.label] : steady);
  return model_labels[self->decision.label];
}

static const char *reject_image(detector *self, quality_verdict fault) {
  static const char *const verdicts[] = {"", "dark", "bright", "blurred"};
  decision_reset(&self->decision);
  set_light(self, LIGHT_BLUE);
  return verdicts[fault];
}

/* Shows and sends the result of an image. It must not call the network, because its message would add to the deepest
 * stack. */
static void report_image(detector *self, const scoring_result *result) {
  const bool good = result->verdict == QUALITY_GOOD;
  const char *verdict = good ? decide(self, result->scores) : reject_image(self, result->verdict);
  self->timing.frames++;
  self->timing.inference_us = good ? self->scoring.network_us : self->timing.inference_us;
  self->timing.row_us = self->scoring.row_us;
  self->timing.loop_us = board_us() - self->scoring.begun_us;
  send_scores(self, &result->quality, good ? result->scores : NULL, verdict);
}

static void step_image_finish(detector *self) {
  const uint8_t *frame = classifier_frame_buffer();
  self->timing.capture_us = board_us() - self->scoring.begun_us;
  self->timing.lines_lost = camera_lines_lost();
  for (int32_t y = 0; frame != NULL && y < CAMERA_HEIGHT; y++) {
    scoring_take_row(&self->scoring, frame + y * CAMERA_ROW_BYTES);
  }
  report_image(self, scoring_finish(&self->scoring));
  set_stage(self, STAGE_IMAGE_BEGIN);
}

static void step_camera_failed(detector *self) {
  if (is_over(self, RETRY_MS)) {
    set_stage(self, STAGE_REOPEN_CAMERA);
  }
}

static void step_inject(detector *self) {
  if (is_over(self, INJECT_MS)) {
    resume_images(self);
    messages_out_send_error(&self->out, "time-out", "no row was received for two seconds");
  }
}

/* An injected image is not smoothed with the camera's images before or after it. */
static void step_finish_injection(detector *self) {
  decision_reset(&self->decision);
  report_image(self, scoring_finish(&self->scoring));
  decision_reset(&self->decision);
  set_stage(self, STAGE_HOLD);
}

static void step_hold(detector *self) {
  if (is_over(self, HOLD_MS)) {
    resume_images(self);
  }
}

/* Sends one message per step, as fast as the PC reads. Each row is read from the camera just before it is sent. */
static void step_send_frame(detector *self) {
  if (self->out.pending) {
    return;
  }
  if (self->frame.rows == CAMERA_HEIGHT) {
    messages_out_send_frame_end(&self->out, self->crc);
    set_stage(self, STAGE_IMAGE_BEGIN);
    return;
  }
  switch (poll_frame(self)) {
    case FRAME_FAILED:
      messages_out_send_error(&self->out, "no-camera", self->test.camera_error);
      break;
    case FRAME_STARTED:
      messages_out_send_frame(&self->out);
      break;
    case FRAME_ROW:
      self->crc = base64_crc_update_crc(self->crc, self->frame.row, CAMERA_ROW_BYTES);
      messages_out_send_frame_row(&self->out, self->frame.rows - 1, self->frame.row);
      break;
    case FRAME_WAIT:
      break;
  }
}

/* Sends one message per step: the registers in groups, the signals once they are measured, then the board's facts. */
static void step_bring_up(detector *self) {
  if (self->out.pending) {
    return;
  }
  if (self->bring_up.next_register < camera_register_count()) {
    self->bring_up.next_register = messages_out_send_registers(&self->out, self->bring_up.next_register);
    restart_timer(self);
    return;
  }
  if (!self->bring_up.measured) {
    camera_rates rates;
    const camera_status status = self->test.camera_error == NULL ? camera_measure(&rates) : CAMERA_FAILED;
    self->bring_up.measured = status != CAMERA_WAIT || is_over(self, START_MS);
    if (status == CAMERA_OK) {
      messages_out_send_rates(&self->out, &rates);
    }
    return;
  }
  messages_out_send_bring_up(&self->out);
  resume_images(self);
}

static void step_restart(detector *self) {
  if (!self->out.pending && is_over(self, RESTART_MS)) {
    board_restart();
  }
}

void detector_init(detector *self) {
  lights_init(&self->lights);
  messages_out_init(&self->out);
  decision_reset(&self->decision);
  detector_begin_self_test(self);
}

void detector_step(detector *self) {
  static void (*const steps[])(detector *) = {
      [STAGE_TEST_LAMPS] = step_test_lamps,
      [STAGE_TEST_CAMERA] = step_test_camera,
      [STAGE_TEST_COLOR_BARS] = step_test_color_bars,
      [STAGE_TEST_GOLDEN] = step_test_golden,
      [STAGE_IMAGE_BEGIN] = step_image_begin,
      [STAGE_IMAGE_ROWS] = step_image_rows,
      [STAGE_IMAGE_FINISH] = step_image_finish,
      [STAGE_CAMERA_FAILED] = step_camera_failed,
      [STAGE_REOPEN_CAMERA] = step_reopen_camera,
      [STAGE_RETEST_COLOR_BARS] = step_retest_color_bars,
      [STAGE_INJECT] = step_inject,
      [STAGE_FINISH_INJECTION] = step_finish_injection,
      [STAGE_HOLD] = step_hold,
      [STAGE_SEND_FRAME] = step_send_frame,
      [STAGE_SEND_GOLDEN] = step_send_golden,
      [STAGE_BRING_UP] = step_bring_up,
      [STAGE_RESTART] = step_restart,
  };
  steps[self->stage](self);
  lights_update(&self->lights, board_ms());
}

bool detector_accepts_commands(const detector *self) {
  switch (self->stage) {
    case STAGE_TEST_LAMPS:
    case STAGE_TEST_CAMERA:
    case STAGE_TEST_COLOR_BARS:
    case STAGE_TEST_GOLDEN:
    case STAGE_FINISH_INJECTION:
    case STAGE_SEND_FRAME:
    case STAGE_SEND_GOLDEN:
    case STAGE_BRING_UP:
    case STAGE_RESTART:
      return false;
    case STAGE_IMAGE_BEGIN:
    case STAGE_IMAGE_ROWS:
    case STAGE_IMAGE_FINISH:
    case STAGE_CAMERA_FAILED:
    case STAGE_REOPEN_CAMERA:
    case STAGE_RETEST_COLOR_BARS:
    case STAGE_INJECT:
    case STAGE_HOLD:
      break;
  }
  return !self->out.pending;
}

void detector_begin_self_test(detector *self) {
  self_test_init(&self->test);
  set_stage(self, STAGE_TEST_LAMPS);
}

void detector_begin_golden(detector *self) { begin_golden(self, STAGE_SEND_GOLDEN); }

bool detector_begin_frame(detector *self) {
  if (self->test.camera_error != NULL) {
    return false;
  }
  self->crc = 0;
  begin_frame(self);
  set_stage(self, STAGE_SEND_FRAME);
  return true;
}

void detector_begin_bring_up(detector *self) {
  self->bring_up.next_register = 0;
  self->bring_up.measured = false;
  set_stage(self, STAGE_BRING_UP);
}

void detector_begin_restart(detector *self) {
  set_light(self, LIGHT_BLUE);
  set_stage(self, STAGE_RESTART);
}

void detector_begin_injection(detector *self) {
  self->crc = 0;
  scoring_begin(&self->scoring);
  set_stage(self, STAGE_INJECT);
}

int32_t detector_injected_rows(const detector *self) { return self->stage == STAGE_INJECT ? self->scoring.rows : -1; }

void detector_inject_row(detector *self, const uint8_t *row) {
  self->crc = base64_crc_update_crc(self->crc, row, CAMERA_ROW_BYTES);
  scoring_take_row(&self->scoring, row);
  restart_timer(self);
}

void detector_finish_injection(detector *self) { set_stage(self, STAGE_FINISH_INJECTION); }

void detector_cancel_injection(detector *self) {
  if (self->stage == STAGE_INJECT) {
    resume_images(self);
  }
}

void detector_cancel_command(detector *self) {
  if (self->stage == STAGE_INJECT || self->stage == STAGE_SEND_FRAME || self->stage == STAGE_SEND_GOLDEN ||
      self->stage == STAGE_BRING_UP) {
    resume_images(self);
  }
}
