/* Driver for the OV7675 and the OV7670. It reads line by line and never waits longer than a few lines.
 *
 * The sensor runs at VGA, the only size documented for both chips, at 1 MHz per byte: 1.25 frames per second, which is
 * slow enough to read without DMA. After a start five frames pass until exposure and white balance have settled.
 * Interrupts are off for at most one line and the gap before it (2 ms), never for a frame. A hardware counter counts
 * lines and captures its count at the start of each frame. A late caller therefore gets a row of fewer than three
 * lines, or the row of the next frame, but never a shifted image.
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

/* Powers up, identifies and configures the sensor (0.11 s), then returns kWait until it has settled. */
Status open();

/* Returns kWait until the next frame starts. With `bars` the frame has eight vertical bars (white, yellow, cyan, green,
 * magenta, red, blue, black) instead of an image. */
Status start(bool bars);

/* Writes row `y`, 352 bytes of RGB565, high byte first. Returns kWait until its lines come. */
Status read_row(int32_t y, uint8_t *row);

/* Returns how many lines the rows of the current frame lack because the caller was late. */
uint32_t lines_lost();

/* Stops the automatic exposure, gain and white balance at their current values, or starts them again. */
Status lock(bool wanted);

struct RegisterValue {
  uint8_t address;
  uint8_t expected; /* both without the bits that the sensor itself changes */
  uint8_t read;
};

/* Returns how many settings the sensor has got; 0 before it is set up. */
int32_t register_count();

/* Reads the register of a setting back. Returns false if this setting cannot be compared. */
bool read_register(int32_t place, RegisterValue *value);

struct Rates {
  uint32_t pixel_clock_hz;
  uint32_t line_ns;
  uint32_t frame_us;
  uint32_t lines; /* of a frame, with pixels */
};

/* Returns the rates that follow from the data sheet and the settings. */
Rates documented_rates();

/* Returns kWait until two frames have begun, then measures the rates with the counter of lines. */
Status measure(Rates *rates);

}  // namespace ov7675

#endif
