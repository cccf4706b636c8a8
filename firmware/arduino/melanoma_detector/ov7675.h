/* Driver for the OV7675 and the OV7670. It reads line by line and never waits longer than a few lines.
 *
 * The sensor runs at VGA, the only size documented for both chips, at 1 MHz per byte: 1.25 frames per second, which is
 * slow enough to read without DMA. Interrupts are off for at most one line and the gap before it (2 ms), never for a
 * frame. A hardware counter counts lines and captures its count at the start of each frame. A late caller therefore
 * gets a row of fewer than three lines, or the row of the next frame, but never a shifted image.
 *
 * Peripherals used: I2S (its master clock drives the sensor), TIMER3, GPIOTE channels 6 and 7, PPI channels 14 and 15.
 */
#ifndef OV7675_H
#define OV7675_H

#include <stdint.h>

namespace ov7675 {

enum class Status : uint8_t {
  kOk,
  kWait,      /* not ready: call again */
  kNoAnswer,  /* no acknowledge on the control bus: check wires and power */
  kWrongChip, /* another chip acknowledges */
  kNoVsync,   /* no frame starts: check VSYNC and XCLK */
  kNoHref,    /* no line starts: check HREF */
  kNoPclk,    /* a line has no pixels: check PCLK */
};

/* Returns the status as text. */
const char *describe(Status status);

/* Powers up, identifies and configures the sensor (60 ms), then returns kWait until it has settled. */
Status open();

/* Returns kWait until the next frame starts. With `bars` the frame has eight vertical bars (white, yellow, cyan, green,
 * magenta, red, blue, black) instead of an image. */
Status start(bool bars);

/* Writes row `y`, 352 bytes of RGB565, high byte first. Returns kWait until its lines come. */
Status read_row(int32_t y, uint8_t *row);

}  // namespace ov7675

#endif
