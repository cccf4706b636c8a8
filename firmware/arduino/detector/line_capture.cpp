#include "line_capture.h"

#include <nrf.h>

#include "averaging.h"
#include "pins.h"

/* Arduino compiles for size. */
#pragma GCC optimize("O3")

namespace ov7675 {
namespace line_capture {
namespace {

constexpr uint32_t kHrefBit = 1u << pins::kHref, kPclkBit = 1u << pins::kPclk;
constexpr int32_t kSensorWidth = 640, kSkippedBytes = kSensorWidth - kLinePixels, kLineBytes = 2 * kLinePixels;
/* Reads of the port before the pixel clock counts as missing: about 50 us. */
constexpr uint32_t kClockTimeout_reads = 400;
/* The same for the gap between lines (0.3 ms). */
constexpr uint32_t kGapTimeout_reads = 4000;

bool is_clock_high() { return (NRF_P0->IN & kPclkBit) != 0; }

/* The limit is set only where the first read does not end the wait, which keeps the way from one byte to the next
 * short. */
inline bool wait_for_clock(bool high) {
  if (is_clock_high() == high) {
    return true;
  }
  for (uint32_t reads_left = kClockTimeout_reads; is_clock_high() != high;) {
    if (--reads_left == 0) {
      return false;
    }
  }
  return true;
}

inline bool wait_for_next_high() { return wait_for_clock(false) && wait_for_clock(true); }

inline bool wait_for_line() {
  for (uint32_t reads_left = kGapTimeout_reads; (NRF_P0->IN & kHrefBit) == 0;) {
    if (--reads_left == 0) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool is_in_line() { return (NRF_P0->IN & kHrefBit) != 0; }

Capture wait() { return wait_for_line() ? Capture::kSkipped : Capture::kNoLine; }

/* The first clock pulse comes half a period after HREF. Waiting for a low clock first would miss it if the loop is
 * late: the clock is low when HREF rises, so the first pulse needs no such wait. */
__attribute__((noinline)) Capture read(uint8_t *line) {
  if (!wait_for_line()) {
    return Capture::kNoLine;
  }
  if (!wait_for_clock(true)) {
    return Capture::kNoClock;
  }
  for (int32_t skipped = 1; skipped < kSkippedBytes; skipped++) {
    if (!wait_for_next_high()) {
      return Capture::kNoClock;
    }
  }
  for (uint8_t *const end = line + kLineBytes; line != end; line++) {
    if (!wait_for_next_high()) {
      return Capture::kNoClock;
    }
    *line = pins::byte_of(NRF_P1->IN);
  }
  return Capture::kRead;
}

}  // namespace line_capture
}  // namespace ov7675
