/* Reads one frame from the camera, row by row, with the high byte of each pixel first. */
#ifndef FRAME_READER_H
#define FRAME_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "camera.h"

typedef enum {
  FRAME_WAIT,    /* nothing yet: poll again */
  FRAME_STARTED, /* the camera has started the frame; its rows follow */
  FRAME_ROW,     /* `row` holds the row with the number `rows` - 1 */
  FRAME_FAILED,  /* the camera failed: camera_error_text() says why */
} frame_event;

typedef struct {
  bool color_bars;
  bool low_byte_first;
  int32_t rows; /* read so far; FRAME_NOT_STARTED before FRAME_STARTED */
  uint8_t row[CAMERA_ROW_BYTES];
} frame_reader;

enum { FRAME_NOT_STARTED = -1 };

/* Abandons the frame before, if any, and prepares for an image of the camera. */
void frame_reader_begin_image(frame_reader *self, bool low_byte_first);

/* The same for the color bars, in the camera's own byte order. */
void frame_reader_begin_color_bars(frame_reader *self);

/* Asks the camera for the start of the frame, then for one row after the other. */
frame_event frame_reader_poll(frame_reader *self);

#endif
