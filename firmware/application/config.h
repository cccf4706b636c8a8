/* What a maker may want to change. */
#ifndef CONFIG_H
#define CONFIG_H

#define FIRMWARE_VERSION "0.1.0"

enum {
  ALARM_ON = 80,  /* percent: over this the alarm blinks, ... */
  ALARM_OFF = 70, /* ... and below this it stops */
  MARGIN = 10,    /* percent: another label must lead by so much before the light changes */
  SMOOTHING = 2,  /* a picture counts 1 / 2^2 of what is shown */

  DARK = 24,     /* mean luma, of 255, below which a picture is too dark, ... */
  BRIGHT = 240,  /* ... and over which it is too bright */
  CLIPPED = 300, /* of 1,000 pixels burnt out: too bright */
  BLURRED = 2,   /* variance of the luma's Laplacian below which nothing can be seen */

  COLOR_BARS_REQUIRED = 1, /* 0: a camera whose test picture has the wrong colors may be used */

  BLINK_MS = 500,     /* half a period: the alarm blinks at 1 Hz */
  LAMP_TEST_MS = 400, /* how long red, green and blue each are shown at the start */
  HOLD_MS = 3000,     /* how long an injected picture keeps the light */
  RETRY_MS = 1000,    /* how often a camera that failed is woken again */
  OPEN_MS = 2000,     /* how long a camera may take to wake */
  FRAME_MS = 4000,    /* a frame that is not whole after this has failed */
  INJECT_MS = 2000,   /* how long the next row of an injected picture may take */
  ANSWER_MS = 2000,   /* how long a PC may leave an answer unread */
  WATCHDOG_MS = 8000, /* after this without a healthy loop the board starts anew */
};

#endif
