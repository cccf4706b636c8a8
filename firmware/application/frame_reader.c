#include "frame_reader.h"

void frame_reader_begin_image(frame_reader *self, bool low_byte_first) {
  self->color_bars = false;
  self->low_byte_first = low_byte_first;
  self->rows = FRAME_NOT_STARTED;
}

void frame_reader_begin_color_bars(frame_reader *self) {
  self->color_bars = true;
  self->low_byte_first = false;
  self->rows = FRAME_NOT_STARTED;
}

static void swap_bytes(uint8_t *row) {
  for (int32_t at = 0; at < CAMERA_ROW_BYTES; at += 2) {
    const uint8_t low = row[at];
    row[at] = row[at + 1];
    row[at + 1] = low;
  }
}

static frame_event start_frame(frame_reader *self) {
  switch (camera_start_frame(self->color_bars)) {
    case CAMERA_OK:
      self->rows = 0;
      return FRAME_STARTED;
    case CAMERA_FAILED:
      return FRAME_FAILED;
    case CAMERA_WAIT:
      break;
  }
  return FRAME_WAIT;
}

static frame_event read_row(frame_reader *self) {
  switch (camera_read_row(self->rows, self->row)) {
    case CAMERA_OK:
      if (self->low_byte_first) {
        swap_bytes(self->row);
      }
      self->rows++;
      return FRAME_ROW;
    case CAMERA_FAILED:
      return FRAME_FAILED;
    case CAMERA_WAIT:
      break;
  }
  return FRAME_WAIT;
}

frame_event frame_reader_poll(frame_reader *self) {
  return self->rows == FRAME_NOT_STARTED ? start_frame(self) : read_row(self);
}
