#include "messages_out.h"

#include <stddef.h>

#include "board.h"
#include "camera.h"
#include "classifier.h"
#include "config.h"
#include "decision.h"

enum { PROTOCOL = 1, REGISTERS_A_LINE = 48 };

void messages_out_init(messages_out *self) {
  self->streaming = true;
  self->pending = false;
}

bool messages_out_flush(messages_out *self) {
  if (!self->pending) {
    return true;
  }
  if (board_ms() - self->pending_since_ms >= ANSWER_MS) {
    self->pending = false;
    return false;
  }
  self->pending = !board_write(self->line.text, self->line.length);
  return true;
}

static void write_error(json *line, const char *code, const char *message) {
  json_begin(line, "error");
  json_string(line, "code", code);
  json_string(line, "message", message);
}

static void send_answer(messages_out *self) {
  json_end(&self->line);
  if (self->line.length > JSON_LINE_BYTES - 1) {
    write_error(&self->line, "too-long", "the answer does not fit on one line");
    json_end(&self->line);
  }
  self->pending_since_ms = board_ms();
  self->pending = !board_write(self->line.text, self->line.length);
}

static void send_or_drop(messages_out *self) {
  json_end(&self->line);
  if (self->line.length < JSON_LINE_BYTES) {
    (void)board_write(self->line.text, self->line.length);
  }
}

static void write_version(json *line, const char *type) {
  json_begin(line, type);
  json_number(line, "protocol", PROTOCOL);
  json_string(line, "firmware", FIRMWARE_VERSION);
  json_string(line, "model", MODEL_NAME);
  json_string(line, "data", MODEL_DATA);
  json_string(line, "digest", MODEL_DATA_DIGEST);
  json_open(line, "labels", '[');
  for (int32_t label = 0; label < CLASSIFIER_LABELS; label++) {
    json_string(line, NULL, model_labels[label]);
  }
  json_close(line, ']');
  json_string(line, "alarm", model_labels[CLASSIFIER_ALARM]);
  json_open(line, "input", '[');
  json_number(line, NULL, MODEL_HEIGHT);
  json_number(line, NULL, MODEL_WIDTH);
  json_number(line, NULL, MODEL_CHANNELS);
  json_close(line, ']');
  json_fraction(line, "threshold", ALARM_ON, 100);
  json_bool(line, "rows", MODEL_ROWS);
  json_string(line, "board", board_name());
}

void messages_out_send_hello(messages_out *self) {
  write_version(&self->line, "hello");
  send_or_drop(self);
}

void messages_out_send_version(messages_out *self) {
  write_version(&self->line, "version");
  send_answer(self);
}

static void add_bars(json *line, const color_bars *bars) {
  static const char *const orders[] = {"not tested", "high first", "low first", "unknown"};
  json_string(line, "order", orders[bars->order]);
  json_open(line, "bars", '[');
  for (int32_t bar = 0; bars->order != COLOR_BARS_NOT_TESTED && bar < CAMERA_BARS; bar++) {
    json_open(line, NULL, '{');
    json_string(line, "expected", color_bar_test_name(bars->expected[bar]));
    json_open(line, "seen", '[');
    for (int32_t channel = 0; channel < 3; channel++) {
      json_number(line, NULL, bars->seen[bar][channel]);
    }
    json_close(line, ']');
    json_bool(line, "ok", bars->right[bar]);
    json_close(line, '}');
  }
  json_close(line, ']');
}

void messages_out_send_self_test(messages_out *self, const self_test *test) {
  json *line = &self->line;
  json_begin(line, "selftest");
  json_bool(line, "ok", self_test_passed(test));
  json_string(line, "led", "ok");
  json_string(line, "camera", self_test_camera_text(test));
  json_string(line, "pattern", self_test_color_bars_text(test));
  json_string(line, "golden", self_test_golden_text(test));
  add_bars(line, &test->bars);
  send_answer(self);
}

static void add_scores(json *line, const char *key, const int32_t *values, int32_t one) {
  json_open(line, key, '{');
  for (int32_t label = 0; label < CLASSIFIER_LABELS; label++) {
    json_fraction(line, model_labels[label], values[label], one);
  }
  json_close(line, '}');
}

static void write_scores(json *line, const scores_message *message) {
  json_begin(line, "scores");
  json_number(line, "frame", message->frame);
  json_bool(line, "injected", message->injected);
  if (message->scores != NULL) {
    add_scores(line, "scores", message->scores, SCORE_ONE);
    add_scores(line, "smoothed", message->smoothed, SMOOTHED_ONE);
  }
  json_string(line, "verdict", message->verdict);
  json_string(line, "led", lights_name(message->led));
  if (message->quality != NULL) {
    json_number(line, "brightness", message->quality->brightness);
    json_fraction(line, "clipped", message->quality->clipped, 10000);
    json_number(line, "sharpness", message->quality->sharpness);
  }
  if (message->scores != NULL) {
    json_number(line, "us", message->inference_us);
  }
}

void messages_out_send_scores(messages_out *self, const scores_message *message) {
  if (self->pending || (!self->streaming && !message->injected)) {
    return;
  }
  write_scores(&self->line, message);
  if (message->injected) {
    send_answer(self);
  } else {
    send_or_drop(self);
  }
}

static void add_size(json *line) {
  json_number(line, "width", CAMERA_WIDTH);
  json_number(line, "height", CAMERA_HEIGHT);
}

void messages_out_send_frame(messages_out *self) {
  json_begin(&self->line, "frame");
  add_size(&self->line);
  json_string(&self->line, "format", "rgb565be");
  send_answer(self);
}

void messages_out_send_frame_row(messages_out *self, int32_t y, const uint8_t *row) {
  json_begin(&self->line, "row");
  json_number(&self->line, "y", y);
  json_base64(&self->line, "data", row, CAMERA_ROW_BYTES);
  send_answer(self);
}

void messages_out_send_frame_end(messages_out *self, uint32_t crc) {
  json_begin(&self->line, "frame-end");
  json_hex(&self->line, "crc32", crc);
  send_answer(self);
}

static void add_logits(json *line, const char *key, const int8_t *logits) {
  json_open(line, key, '[');
  for (int32_t label = 0; label < CLASSIFIER_LABELS; label++) {
    json_number(line, NULL, logits[label]);
  }
  json_close(line, ']');
}

void messages_out_send_golden(messages_out *self, int32_t vector, bool right) {
  json_begin(&self->line, "golden");
  json_number(&self->line, "vector", vector);
  json_bool(&self->line, "ok", right);
  add_logits(&self->line, "logits", classifier_logits());
  add_logits(&self->line, "expected", classifier_golden_expected(vector));
  send_answer(self);
}

void messages_out_send_golden_end(messages_out *self, int32_t passed, int32_t failed) {
  json_begin(&self->line, "golden-end");
  json_number(&self->line, "passed", passed);
  json_number(&self->line, "failed", failed);
  send_answer(self);
}

void messages_out_send_timing(messages_out *self, const timing_message *message) {
  json_begin(&self->line, "timing");
  json_number(&self->line, "frames", message->frames);
  json_number(&self->line, "capture_us", message->capture_us);
  json_number(&self->line, "inference_us", message->inference_us);
  json_number(&self->line, "loop_us", message->loop_us);
  json_number(&self->line, "row_us", message->row_us);
  json_number(&self->line, "lines_lost", message->lines_lost);
  send_answer(self);
}

int32_t messages_out_send_registers(messages_out *self, int32_t first) {
  json *line = &self->line;
  const int32_t count = camera_register_count(),
                end = count - first > REGISTERS_A_LINE ? first + REGISTERS_A_LINE : count;
  json_begin(line, "registers");
  json_open(line, "values", '[');
  for (int32_t place = first; place < end; place++) {
    camera_register value;
    if (camera_read_register(place, &value)) {
      json_open(line, NULL, '[');
      json_number(line, NULL, value.address);
      json_number(line, NULL, value.expected);
      json_number(line, NULL, value.read);
      json_close(line, ']');
    }
  }
  json_close(line, ']');
  send_answer(self);
  return end;
}

static void add_rates(json *line, const char *key, const camera_rates *rates) {
  json_open(line, key, '{');
  json_number(line, "pixel_clock_hz", rates->pixel_clock_hz);
  json_number(line, "line_ns", rates->line_ns);
  json_number(line, "frame_us", rates->frame_us);
  json_number(line, "lines", rates->lines);
  json_close(line, '}');
}

void messages_out_send_rates(messages_out *self, const camera_rates *rates) {
  const camera_rates documented = camera_documented_rates();
  json_begin(&self->line, "rates");
  add_rates(&self->line, "measured", rates);
  add_rates(&self->line, "documented", &documented);
  send_answer(self);
}

static void add_known(json *line, const char *key, int32_t value) {
  if (value >= 0) {
    json_number(line, key, value);
  }
}

void messages_out_send_bring_up(messages_out *self) {
  const board_facts facts = board_read_facts();
  json_begin(&self->line, "bring-up");
  add_known(&self->line, "instruction_cache", facts.instruction_cache);
  add_known(&self->line, "watchdog", facts.watchdog);
  add_known(&self->line, "stack_bytes", facts.stack_bytes);
  add_known(&self->line, "stack_used_bytes", facts.stack_used_bytes);
  send_answer(self);
}

void messages_out_send_help(messages_out *self) {
  static const char *const commands[] = {"version", "scores on", "scores off", "frame", "inject",
                                         "golden",  "timing",    "selftest",   "help",  "reset",
                                         "lock on", "lock off",  "bring-up"};
  json_begin(&self->line, "help");
  json_open(&self->line, "commands", '[');
  for (uint32_t place = 0; place < sizeof commands / sizeof commands[0]; place++) {
    json_string(&self->line, NULL, commands[place]);
  }
  json_close(&self->line, ']');
  send_answer(self);
}

void messages_out_send_done(messages_out *self, const char *command) {
  json_begin(&self->line, "done");
  json_string(&self->line, "command", command);
  send_answer(self);
}

void messages_out_send_ready(messages_out *self) {
  json_begin(&self->line, "ready");
  add_size(&self->line);
  send_answer(self);
}

void messages_out_send_taken(messages_out *self, int32_t y) {
  json_begin(&self->line, "taken");
  json_number(&self->line, "y", y);
  send_answer(self);
}

void messages_out_send_error(messages_out *self, const char *code, const char *message) {
  write_error(&self->line, code, message);
  send_answer(self);
}
