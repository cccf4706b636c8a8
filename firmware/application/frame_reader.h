/* Reads a frame from the camera, row by row, with the high byte of each pixel first. */
#ifndef FRAME_READER_H
#define FRAME_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "camera.h"

typedef enum {
  FRAME_WAIT,    /* not ready: poll again */
  FRAME_STARTED, /* the camera has started the frame; its rows follow */
  FRAME_ROW,     /* `row` holds the row with the number `rows` - 1 */
  FRAME_FAILED,  /* the camera failed; camera_error_text() returns the cause */
} frame_event;

typedef struct {
  bool color_bars;
  bool low_byte_first;
  int32_t rows; /* read so far; FRAME_NOT_STARTED until the camera has started the frame */
  uint8_t row[CAMERA_ROW_BYTES];
} frame_reader;

enum { FRAME_NOT_STARTED = -1 };

/* Abandons the previous frame and requests an image. */
void frame_reader_begin_image(frame_reader *self, bool low_byte_first);

/* Abandons the previous frame and requests the color bars, in the byte order of the camera. */
void frame_reader_begin_color_bars(frame_reader *self);

/* Starts the requested frame, then reads its next row. */
frame_event frame_reader_poll(frame_reader *self);

#endif
