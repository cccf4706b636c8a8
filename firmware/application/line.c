#include "line.h"

void line_init(line *self) { self->length = 0; }

line_status line_add_byte(line *self, char byte) {
  if (byte != '\n') {
    if (self->length < LINE_BYTES) {
      self->text[self->length] = byte;
      self->length++;
    }
    return LINE_INCOMPLETE;
  }
  uint32_t length = self->length;
  self->length = 0;
  if (length >= LINE_BYTES) {
    return LINE_TOO_LONG;
  }
  if (length > 0 && self->text[length - 1] == '\r') {
    length--;
  }
  self->text[length] = '\0';
  return LINE_COMPLETE;
}
