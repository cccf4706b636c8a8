/* Collects bytes to lines. */
#ifndef LINE_H
#define LINE_H

#include <stdint.h>

enum { LINE_BYTES = 1024 };

typedef enum { LINE_NOT_YET, LINE_WHOLE, LINE_TOO_LONG } line_status;

typedef struct {
  uint32_t length;
  char text[LINE_BYTES];
} line;

void line_begin(line *self);

/* Takes a byte. LINE_WHOLE: `text` is a line without its end, and the next byte begins another. LINE_TOO_LONG: a line
 * of more than 1,023 bytes has ended, and is lost. */
line_status line_take(line *self, char byte);

#endif
