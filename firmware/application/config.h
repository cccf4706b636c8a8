/* Settings that can be changed. */
#ifndef CONFIG_H
#define CONFIG_H

#define FIRMWARE_VERSION "0.1.0"

enum {
  ALARM_ON = 80,  /* percent: the light blinks above this score of the alarm ... */
  ALARM_OFF = 70, /* ... and stops blinking below this one */
  MARGIN = 10,    /* percent: another label's lead before the light changes */
  SMOOTHING = 2,  /* the weight of a new image is 1 / 2^SMOOTHING */

  DARK = 24,     /* mean luma (0 to 255) below which an image is too dark ... */
  BRIGHT = 240,  /* ... and above which it is too bright */
  CLIPPED = 300, /* saturated pixels of 1,000 above which an image is too bright */
  BLURRED = 2,   /* variance of the luma's Laplacian below which an image is blurred */

  COLOR_BARS_REQUIRED = 1, /* 0: use a camera even if its color bars do not show the order of its bytes */

  MAINS_HZ = 50, /* of the lamps, 50 or 60: exposures are multiples of their flicker */

  BLINK_MS = 500,     /* half a period: the light blinks at 1 Hz */
  LAMP_TEST_MS = 400, /* red, green and blue are each shown for this time at the start */
  HOLD_MS = 3000,     /* the verdict on an injected image is shown for this time */
  RETRY_MS = 1000,    /* between two attempts to open a failed camera */
  OPEN_MS = 2000,     /* limit for opening the camera */
  START_MS = 8000,    /* limit for the start of a frame; after a start some pass until the exposure has settled */
  ROW_MS = 2500,      /* limit for the next row of a frame; a late one comes with the next frame */
  INJECT_MS = 2000,   /* limit for the next row of an injected image */
  ANSWER_MS = 2000,   /* an answer that the PC does not read is dropped after this time */
  RESTART_MS = 250,   /* between the answer to `reset` and the reset */
  WATCHDOG_MS = 8000, /* the watchdog resets the board if the loop hangs for this time */
};

#endif
