#include "commands.h"

#include <string.h>

#include "base64_crc.h"
#include "board.h"

enum { BYTES_A_STEP = 256 };

static void refuse_image(detector *self, const char *code, const char *message) {
  detector_cancel_injection(self);
  messages_out_send_error(&self->out, code, message);
}

/* Parses one to three digits and a space, and advances past them. Returns -1 for any other text. */
static int32_t parse_row_number(const char **text) {
  int32_t number = 0, digits = 0;
  for (; **text >= '0' && **text <= '9' && digits < 3; (*text)++, digits++) {
    number = 10 * number + **text - '0';
  }
  return digits > 0 && *(*text)++ == ' ' ? number : -1;
}

/* The frame reader is idle during an injection, so its row buffer is free. */
static void run_row(detector *self, const char *text) {
  const int32_t number = parse_row_number(&text);
  if (number < 0 || number >= CAMERA_HEIGHT || number != detector_injected_rows(self)) {
    refuse_image(self, "out-of-order", "this is not the next row");
  } else if (!base64_crc_decode(text, self->frame.row, CAMERA_ROW_BYTES)) {
    refuse_image(self, "bad-base64", "a row must be the base64 text of 352 bytes");
  } else {
    detector_inject_row(self, self->frame.row);
    messages_out_send_taken(&self->out, number);
  }
}

static void run_end(detector *self, const char *text) {
  uint32_t crc = 0;
  if (detector_injected_rows(self) != CAMERA_HEIGHT) {
    refuse_image(self, "out-of-order", "the image is not complete");
  } else if (!base64_crc_parse_crc(text, &crc)) {
    refuse_image(self, "bad-argument", "a CRC must be eight lower-case hexadecimal digits");
  } else if (crc != self->crc) {
    refuse_image(self, "bad-crc", "the CRC does not match the rows received");
  } else {
    detector_finish_injection(self);
  }
}

static void run_version(detector *self, const char *rest) {
  (void)rest;
  messages_out_send_version(&self->out);
}

static void run_scores(detector *self, const char *text) {
  const bool on = strcmp(text, "on") == 0;
  if (!on && strcmp(text, "off") != 0) {
    messages_out_send_error(&self->out, "bad-argument", "use scores on or scores off");
    return;
  }
  self->out.streaming = on;
  messages_out_send_done(&self->out, "scores");
}

static void run_frame(detector *self, const char *rest) {
  (void)rest;
  if (!detector_begin_frame(self)) {
    messages_out_send_error(&self->out, "no-camera", self->test.camera_error);
  }
}

static void run_inject(detector *self, const char *rest) {
  (void)rest;
  detector_begin_injection(self);
  messages_out_send_ready(&self->out);
}

static void run_golden(detector *self, const char *rest) {
  (void)rest;
  detector_begin_golden(self);
}

static void run_bring_up(detector *self, const char *rest) {
  (void)rest;
  detector_begin_bring_up(self);
}

static void run_lock(detector *self, const char *text) {
  const bool on = strcmp(text, "on") == 0;
  if (!on && strcmp(text, "off") != 0) {
    messages_out_send_error(&self->out, "bad-argument", "use lock on or lock off");
  } else if (self->test.camera_error != NULL || !camera_lock(on)) {
    messages_out_send_error(&self->out, "no-camera", "the camera cannot lock its exposure");
  } else {
    messages_out_send_done(&self->out, "lock");
  }
}

static void run_self_test(detector *self, const char *rest) {
  (void)rest;
  detector_begin_self_test(self);
}

static void run_timing(detector *self, const char *rest) {
  (void)rest;
  messages_out_send_timing(&self->out, &self->timing);
}

static void run_help(detector *self, const char *rest) {
  (void)rest;
  messages_out_send_help(&self->out);
}

static void run_reset(detector *self, const char *rest) {
  (void)rest;
  detector_begin_restart(self);
  messages_out_send_done(&self->out, "reset");
}

/* A word that ends in a space takes an argument. */
static bool matches(const char *text, const char *word) {
  const size_t length = strlen(word);
  return word[length - 1] == ' ' ? strncmp(text, word, length) == 0 : strcmp(text, word) == 0;
}

static void run_line(detector *self, const char *text) {
  static const struct {
    const char *word;
    void (*run)(detector *self, const char *argument);
  } commands[] = {
      {"version", run_version},   {"scores ", run_scores},     {"frame", run_frame},   {"inject", run_inject},
      {"row ", run_row},          {"end ", run_end},           {"golden", run_golden}, {"timing", run_timing},
      {"help", run_help},         {"selftest", run_self_test}, {"reset", run_reset},   {"lock ", run_lock},
      {"bring-up", run_bring_up},
  };
  for (uint32_t place = 0; place < sizeof commands / sizeof commands[0]; place++) {
    if (matches(text, commands[place].word)) {
      commands[place].run(self, text + strlen(commands[place].word));
      return;
    }
  }
  if (*text != '\0') {
    messages_out_send_error(&self->out, "unknown-command", "use help to list the commands");
  }
}

void commands_poll(line *in, detector *self) {
  for (int32_t count = 0; count < BYTES_A_STEP && detector_accepts_commands(self); count++) {
    const int32_t byte = board_read_byte();
    if (byte < 0) {
      return;
    }
    switch (line_add_byte(in, (char)byte)) {
      case LINE_COMPLETE:
        run_line(self, in->text);
        break;
      case LINE_TOO_LONG:
        refuse_image(self, "too-long", "a line must not be longer than 1,023 bytes");
        break;
      case LINE_INCOMPLETE:
        break;
    }
  }
}
