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
  CAMERA_BARS = 8,
  CAMERA_SENSOR_WIDTH = 640, /* in pixels of the sensor */
  CAMERA_SENSOR_SHOWN = 528,
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
 * magenta, red, blue and black. The sensor draws them over its whole width (CAMERA_SENSOR_WIDTH), of which a frame
 * shows the center (CAMERA_SENSOR_SHOWN): the first and the last bar are narrower than the others. */
camera_status camera_start_frame(bool color_bars);

/* Writes row `y` of the frame, CAMERA_ROW_BYTES bytes. If the caller is late, a camera without a buffer takes the row
 * from a later frame. */
camera_status camera_read_row(int32_t y, uint8_t *row);

/* Returns how many of the sensor's lines the rows of the current frame lack, because the caller was late. */
uint32_t camera_lines_lost(void);

/* Stops the automatic exposure and white balance at their current values, or starts them again. Opening the camera
 * starts them. Returns false if the camera does not answer or has none. */
bool camera_lock(bool wanted);

typedef struct {
  uint8_t address;
  uint8_t expected;
  uint8_t read;
} camera_register;

/* Returns the number of the sensor's settings; 0 if it has none or is not open. */
int32_t camera_register_count(void);

/* Reads a setting back from the sensor. Returns false if this one cannot be compared. */
bool camera_read_register(int32_t place, camera_register *value);

typedef struct {
  uint32_t pixel_clock_hz;
  uint32_t line_ns;
  uint32_t frame_us;
  uint32_t lines; /* of a frame, with pixels */
} camera_rates;

/* Measures the sensor's signals. CAMERA_WAIT: call again. A camera without such signals is CAMERA_FAILED at once. */
camera_status camera_measure(camera_rates *rates);

/* Returns the rates of the documentation. */
camera_rates camera_documented_rates(void);

/* Returns the cause of the last failure, in a few words of ASCII without quotes. */
const char *camera_error_text(void);

#ifdef __cplusplus
}
#endif

#endif
