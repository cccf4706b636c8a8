/* The OV7675 (or OV7670), line by line, never waiting longer than a few lines take.
 *
 * The sensor runs at VGA, the one size its makers document for both chips, with a clock of 1 MHz for each byte: 1.25
 * frames a second, slow enough to be read by hand. Interrupts are off for one line and the gap before it at most (2
 * ms), never for a frame. A counter in hardware counts lines, and notes its count as each frame begins: who comes late
 * for a row gets the lines that are left of its three, and who comes later than that gets the row of the next frame; a
 * picture is never shifted.
 *
 * Taken with it: I2S (its master clock feeds the sensor), TIMER3, GPIOTE channels 6 and 7, PPI channels 14 and 15. */
#ifndef OV7675_H
#define OV7675_H

#include <stdint.h>

namespace ov7675 {

enum class Status : uint8_t {
  kOk,
  kWait,      /* not yet: ask again */
  kNoAnswer,  /* nothing acknowledges on the control bus: wires, power */
  kWrongChip, /* something else does */
  kNoVsync,   /* no frame begins: VSYNC or XCLK is not wired */
  kNoHref,    /* no line begins: HREF is not wired */
  kNoPclk,    /* a line without pixels: PCLK is not wired */
};

/* What is wrong, for a person. */
const char *describe(Status status);

/* Wakes the sensor, finds out what it is and sets it up (60 ms), then asks to be called again until it has settled. */
Status open();

/* Asks to be called again until the next frame begins; with `bars`, of eight upright bars (white, yellow, cyan, green,
 * magenta, red, blue, black) in place of the picture. */
Status start(bool bars);

/* Writes row `y`, 352 bytes of RGB565, high byte first, or asks to be called again until its lines come. */
Status read_row(int32_t y, uint8_t *row);

}  // namespace ov7675

#endif
