/* The pins of the Nano 33 BLE Sense, with the camera wired as on the Tiny Machine Learning Shield.
 *
 * Camera pins are numbered as on the nRF52840 (port 0 or 1, bit 0 to 31); comments give the labels on the board. The
 * eight data lines must stay on these bits of port 1, so that one read of the port returns a whole byte. */
#ifndef PINS_H
#define PINS_H

#include <stdint.h>

namespace pins {

/* Port 0. */
constexpr uint32_t kSda = 31;   /* A4 */
constexpr uint32_t kScl = 2;    /* A5 */
constexpr uint32_t kVsync = 21; /* D8 */
constexpr uint32_t kHref = 5;   /* A1 */
constexpr uint32_t kPclk = 4;   /* A0 */
constexpr uint32_t kXclk = 27;  /* D9 */
constexpr uint32_t kReset = 30; /* A2, active low */
constexpr uint32_t kPower = 29; /* A3, high powers down */

/* Port 1: D7 D6 D5 D4 D3 D2 are bits 15 to 10 (labels D4 D6 D5 D3 D2 RX0), D1 D0 are bits 3 and 2 (labels TX1 D10). */
constexpr uint32_t kDataBits = 0xFC0Cu;
inline uint8_t byte_of(uint32_t port_1) {
  return static_cast<uint8_t>(((port_1 >> 8) & 0xFCu) | ((port_1 >> 2) & 0x03u));
}

/* Arduino pin numbers of the RGB LED, which is active low. On some boards of revision 2 green and blue are swapped: if
 * the test at the start does not show red, green, blue, swap these constants. */
constexpr uint8_t kRed = 22;
constexpr uint8_t kGreen = 23;
constexpr uint8_t kBlue = 24;
constexpr int kLightOn = 0;

}  // namespace pins

#endif
