/* The seam to the camera: a board implements these functions.
 *
 * A frame is QCIF: 144 rows of 176 pixels in RGB565, two bytes a pixel, the high byte first. Rows are asked for in
 * order. No call may take longer than CAMERA_CALL_MAX_MS: a camera that does not answer is a failed one, never a hung
 * board. */
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
  CAMERA_WAIT, /* nothing yet: ask again */
  CAMERA_FAILED,
} camera_status;

/* Wakes the camera and sets it up; called again after a failure. CAMERA_WAIT: call again. */
camera_status camera_open(void);

/* Begins a frame; with `pattern` the sensor's own test picture of eight upright bars: white, yellow, cyan, green,
 * magenta, red, blue, black. CAMERA_WAIT: call again. */
camera_status camera_start_frame(bool pattern);

/* Writes row `y` of the frame that began. A camera that cannot wait for a late caller takes the row of a later frame.
 */
camera_status camera_read_row(int32_t y, uint8_t *row);

/* What failed last, in a few words for a person: plain ASCII without quotes. */
const char *camera_error_text(void);

#ifdef __cplusplus
}
#endif

#endif
