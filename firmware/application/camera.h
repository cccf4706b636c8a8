/* The interface to the camera. Each board implements these functions.
 *
 * A frame has the size of QCIF: 144 rows of 176 pixels. A pixel is RGB565 in two bytes, high byte first. Rows are
 * read in order. No call takes longer than CAMERA_CALL_MAX_MS; a camera that does not respond is reported as failed. */
#ifndef CAMERA_H
#define CAMERA_H

#include <stdbool.h>
#include <stdint.h>

enum {
  CAMERA_WIDTH = 176,
  CAMERA_HEIGHT = 144,
  CAMERA_ROW_BYTES = 2 * CAMERA_WIDTH,
  CAMERA_CALL_MAX_MS = 500,
};

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  CAMERA_OK,
  CAMERA_WAIT, /* not ready: call again */
  CAMERA_FAILED,
} camera_status;

/* Powers up and configures the camera. Also called after a failure. */
camera_status camera_open(void);

/* Starts a frame. With `color_bars` the sensor sends its test image: eight vertical bars in white, yellow, cyan, green,
 * magenta, red, blue and black. */
camera_status camera_start_frame(bool color_bars);

/* Writes row `y` of the frame, CAMERA_ROW_BYTES bytes. If the caller is late, a camera without a buffer takes the row
 * from a later frame. */
camera_status camera_read_row(int32_t y, uint8_t *row);

/* Returns the cause of the last failure, in a few words of ASCII without quotes. */
const char *camera_error_text(void);

#ifdef __cplusplus
}
#endif

#endif
