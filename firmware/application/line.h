/* Collects received bytes into lines. */
#ifndef LINE_H
#define LINE_H

#include <stdint.h>

enum { LINE_BYTES = 1024 };

typedef enum { LINE_INCOMPLETE, LINE_COMPLETE, LINE_TOO_LONG } line_status;

typedef struct {
  uint32_t length;
  char text[LINE_BYTES];
} line;

void line_init(line *self);

/* Adds a byte. LINE_COMPLETE: `text` holds a line without its line ending, until the next byte is added. LINE_TOO_LONG:
 * a line of more than 1,023 bytes has ended and is dropped. */
line_status line_add_byte(line *self, char byte);

#endif
