/* What the PC says: firmware/PROTOCOL.md, command by command. */
#include <string.h>

#include "board.h"
#include "coding.h"
#include "state.h"

enum { BYTES_A_STEP = 256 };

static const char *after(const char *text, const char *word) {
  const size_t length = strlen(word);
  return strncmp(text, word, length) == 0 ? text + length : 0;
}

static void refuse_picture(application *self, const char *code, const char *message) {
  if (self->stage == INJECT) {
    resume(self);
  }
  say_error(self, code, message);
}

/* Reads up to three digits and the space after them; -1 where there are none. */
static int32_t read_row_number(const char **text) {
  int32_t number = 0, digits = 0;
  for (; **text >= '0' && **text <= '9' && digits < 3; (*text)++, digits++) {
    number = 10 * number + **text - '0';
  }
  return digits > 0 && *(*text)++ == ' ' ? number : -1;
}

static void take_row(application *self, const char *text) {
  const int32_t number = read_row_number(&text);
  if (self->stage != INJECT || number != self->row || number >= CAMERA_HEIGHT) {
    refuse_picture(self, "out-of-order", "this row is not the next one");
    return;
  }
  if (!base64_read(text, self->camera_row, CAMERA_ROW_BYTES)) {
    refuse_picture(self, "bad-base64", "a row is the base64 of 352 bytes");
    return;
  }
  self->crc = crc32_add(self->crc, self->camera_row, CAMERA_ROW_BYTES);
  (void)take_camera_row(self, self->camera_row);
  self->since_ms = board_ms();
  say_taken(self, number);
}

static void end_picture(application *self, const char *text) {
  uint32_t crc = 0;
  if (self->stage != INJECT || self->row != CAMERA_HEIGHT) {
    refuse_picture(self, "out-of-order", "the picture is not whole");
  } else if (!hexadecimal_read(text, &crc)) {
    refuse_picture(self, "bad-argument", "a CRC is eight hexadecimal digits");
  } else if (crc != self->crc) {
    refuse_picture(self, "bad-crc", "the picture did not arrive as it was sent");
  } else {
    decision_clear(&self->decision);
    finish_picture(self, true);
    enter(self, HOLD);
  }
}

static void begin_injection(application *self) {
  enter(self, INJECT);
  begin_picture(self);
  say_ready(self);
}

static void begin_vectors(application *self) {
  self->answering_golden = true;
  enter(self, VECTORS);
}

static void begin_dump(application *self) {
  if (!self->camera_well) {
    say_error(self, "no-camera", camera_fault());
    return;
  }
  enter(self, DUMP);
}

static void begin_test(application *self) {
  self->testing = true;
  self->camera_well = false;
  enter(self, LAMPS);
}

static void restart(application *self) {
  self->restarting = true;
  say_done(self, "reset");
}

static void tell(application *self, const char *text) {
  const bool on = strcmp(text, "on") == 0;
  if (!on && strcmp(text, "off") != 0) {
    say_error(self, "bad-argument", "scores on, or scores off");
    return;
  }
  self->telling = on;
  say_done(self, "scores");
}

static void say_now(application *self) { say_version(self, "version"); }

static void obey(application *self, const char *text) {
  static const struct {
    const char *word;
    void (*obey)(application *self);
  } commands[] = {
      {"version", say_now},     {"frame", begin_dump},  {"inject", begin_injection}, {"golden", begin_vectors},
      {"selftest", begin_test}, {"timing", say_timing}, {"help", say_help},          {"reset", restart},
  };
  for (uint32_t place = 0; place < sizeof commands / sizeof commands[0]; place++) {
    if (strcmp(text, commands[place].word) == 0) {
      commands[place].obey(self);
      return;
    }
  }
  const char *rest = 0;
  if ((rest = after(text, "row ")) != 0) {
    take_row(self, rest);
  } else if ((rest = after(text, "end ")) != 0) {
    end_picture(self, rest);
  } else if ((rest = after(text, "scores ")) != 0) {
    tell(self, rest);
  } else if (*text != '\0') {
    say_error(self, "unknown-command", "help names the commands");
  }
}

/* Nothing is read before the board knows whether it may judge at all, nor while an answer is under way. */
static bool may_listen(const application *self) {
  return !self->testing && !self->owed && !self->answering_golden && self->stage != DUMP && !self->restarting;
}

void listen(application *self) {
  for (int32_t count = 0; count < BYTES_A_STEP && may_listen(self); count++) {
    const int32_t byte = board_read();
    if (byte < 0) {
      return;
    }
    switch (line_take(&self->in, (char)byte)) {
      case LINE_WHOLE:
        obey(self, self->in.text);
        break;
      case LINE_TOO_LONG:
        if (self->stage == INJECT) {
          resume(self);
        }
        say_error(self, "too-long", "a line has 1,023 bytes at most");
        break;
      case LINE_NOT_YET:
        break;
    }
  }
}
