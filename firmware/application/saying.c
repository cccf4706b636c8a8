/* What the board says: firmware/PROTOCOL.md, message by message. */
#include <stddef.h>
#include <string.h>

#include "board.h"
#include "state.h"

enum { PROTOCOL = 1, RGB565_BYTES = 2 };

void answer(application *self) {
  if (!self->owed) {
    json_end(&self->out);
    if (self->out.length > JSON_LINE_BYTES - 1) {
      say_error(self, "too-long", "the answer does not fit into a line");
      return;
    }
    self->owed = true;
    self->owed_since_ms = board_ms();
  }
  self->owed = !board_write(self->out.text, self->out.length);
}

static void remark(application *self) {
  json_end(&self->out);
  if (self->out.length < JSON_LINE_BYTES) {
    (void)board_write(self->out.text, self->out.length);
  }
}

void say_version(application *self, const char *type) {
  json *out = &self->out;
  json_begin(out, type);
  json_number(out, "protocol", PROTOCOL);
  json_text(out, "firmware", FIRMWARE_VERSION);
  json_text(out, "model", MODEL_NAME);
  json_text(out, "data", MODEL_DATA);
  json_text(out, "digest", MODEL_DATA_DIGEST);
  json_open(out, "labels", '[');
  for (int32_t label = 0; label < CLASSIFIER_LABELS; label++) {
    json_text(out, NULL, model_labels[label]);
  }
  json_close(out, ']');
  json_text(out, "alarm", model_labels[CLASSIFIER_ALARM]);
  json_open(out, "input", '[');
  json_number(out, NULL, MODEL_HEIGHT);
  json_number(out, NULL, MODEL_WIDTH);
  json_number(out, NULL, MODEL_CHANNELS);
  json_close(out, ']');
  json_share(out, "threshold", ALARM_ON, 100);
  json_truth(out, "rows", MODEL_ROWS);
  json_text(out, "board", board_name());
  if (strcmp(type, "hello") == 0) {
    remark(self);
  } else {
    answer(self);
  }
}

void say_self_test(application *self) {
  json *out = &self->out;
  json_begin(out, "selftest");
  json_truth(out, "ok", strcmp(self->camera_said, "ok") == 0 && !self->camera_refused && !self->net_refused);
  json_text(out, "led", "ok");
  json_text(out, "camera", self->camera_said);
  json_text(out, "pattern", self->pattern_said);
  json_text(out, "golden", self->golden_said);
  answer(self);
}

static void add_scores(json *out, const char *key, const int32_t *values, int32_t one) {
  json_open(out, key, '{');
  for (int32_t label = 0; label < CLASSIFIER_LABELS; label++) {
    json_share(out, model_labels[label], values[label], one);
  }
  json_close(out, '}');
}

void say_picture(application *self, bool injected, bool scored, const char *verdict) {
  json *out = &self->out;
  if (self->owed || (!self->telling && !injected)) {
    return;
  }
  json_begin(out, "scores");
  json_number(out, "frame", self->frames);
  json_truth(out, "injected", injected);
  if (scored) {
    add_scores(out, "scores", self->scores, SCORE_ONE);
    add_scores(out, "smoothed", self->decision.smoothed, SMOOTHED_ONE);
  }
  json_text(out, "verdict", verdict);
  json_text(out, "led", lights_name(self->lights.wanted));
  if (self->stage != BROKEN) {
    json_number(out, "brightness", self->values.brightness);
    json_share(out, "clipped", self->values.clipped, 10000);
    json_number(out, "sharpness", self->values.sharpness);
  }
  if (scored) {
    json_number(out, "us", self->inference_us);
  }
  if (injected) {
    answer(self);
  } else {
    remark(self);
  }
}

static void add_size(json *out) {
  json_number(out, "width", CAMERA_WIDTH);
  json_number(out, "height", CAMERA_HEIGHT);
}

void say_frame(application *self) {
  json_begin(&self->out, "frame");
  add_size(&self->out);
  json_text(&self->out, "format", "rgb565be");
  answer(self);
}

void say_frame_row(application *self, int32_t y, const uint8_t *row) {
  json_begin(&self->out, "row");
  json_number(&self->out, "y", y);
  json_base64(&self->out, "data", row, CAMERA_WIDTH * RGB565_BYTES);
  answer(self);
}

void say_frame_end(application *self) {
  json_begin(&self->out, "frame-end");
  json_hexadecimal(&self->out, "crc32", self->crc);
  answer(self);
}

static void add_logits(json *out, const char *key, const int8_t *logits) {
  json_open(out, key, '[');
  for (int32_t label = 0; label < CLASSIFIER_LABELS; label++) {
    json_number(out, NULL, logits[label]);
  }
  json_close(out, ']');
}

void say_golden(application *self, int32_t vector, bool right) {
  json_begin(&self->out, "golden");
  json_number(&self->out, "vector", vector);
  json_truth(&self->out, "ok", right);
  add_logits(&self->out, "logits", classifier_logits());
  add_logits(&self->out, "expected", classifier_golden_expected(vector));
  answer(self);
}

void say_golden_end(application *self) {
  json_begin(&self->out, "golden-end");
  json_number(&self->out, "passed", classifier_golden_count() - self->wrong_vectors);
  json_number(&self->out, "failed", self->wrong_vectors);
  answer(self);
}

void say_timing(application *self) {
  json_begin(&self->out, "timing");
  json_number(&self->out, "frames", self->frames);
  json_number(&self->out, "capture_us", self->capture_us);
  json_number(&self->out, "inference_us", self->inference_us);
  json_number(&self->out, "loop_us", self->loop_us);
  answer(self);
}

void say_help(application *self) {
  static const char *const commands[] = {"version", "scores on", "scores off", "frame", "inject",
                                         "golden",  "timing",    "selftest",   "help",  "reset"};
  json_begin(&self->out, "help");
  json_open(&self->out, "commands", '[');
  for (uint32_t place = 0; place < sizeof commands / sizeof commands[0]; place++) {
    json_text(&self->out, NULL, commands[place]);
  }
  json_close(&self->out, ']');
  answer(self);
}

void say_done(application *self, const char *command) {
  json_begin(&self->out, "done");
  json_text(&self->out, "command", command);
  answer(self);
}

void say_ready(application *self) {
  json_begin(&self->out, "ready");
  add_size(&self->out);
  answer(self);
}

void say_taken(application *self, int32_t y) {
  json_begin(&self->out, "taken");
  json_number(&self->out, "y", y);
  answer(self);
}

void say_error(application *self, const char *code, const char *message) {
  self->owed = false;
  json_begin(&self->out, "error");
  json_text(&self->out, "code", code);
  json_text(&self->out, "message", message);
  answer(self);
}
