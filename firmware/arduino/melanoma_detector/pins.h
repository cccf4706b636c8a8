/* Where things are wired: the Nano 33 BLE Sense, and the camera as the Tiny Machine Learning Shield wires it.
 *
 * Camera pins are named as the nRF52840 counts them (port 0 or 1, bit 0 to 31); the comment says what the board's edge
 * says. The eight data lines must stay on these bits of port 1: one read of the port brings a whole byte. */
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
constexpr uint32_t kReset = 30; /* A2, low resets */
constexpr uint32_t kPower = 29; /* A3, high sleeps */

/* Port 1: D7 D6 D5 D4 D3 D2 are bits 15 to 10 (edge: D4 D6 D5 D3 D2 RX0), D1 D0 are bits 3 and 2 (edge: TX1 D10). */
constexpr uint32_t kDataBits = 0xFC0Cu;
inline uint8_t byte_of(uint32_t port_1) {
  return static_cast<uint8_t>(((port_1 >> 8) & 0xFCu) | ((port_1 >> 2) & 0x03u));
}

/* Arduino's numbers. The light is on where its pin is LOW; on some boards of the second revision green and blue are
 * exchanged: red, green and blue at the start show it, and these three lines mend it. */
constexpr int kRed = 22;
constexpr int kGreen = 23;
constexpr int kBlue = 24;
constexpr int kLightOn = 0;

}  // namespace pins

#endif
