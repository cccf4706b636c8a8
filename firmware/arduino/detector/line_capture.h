/* Reads one line of the sensor from two ports. Interrupts have to be off.
 *
 * At one byte per microsecond the CPU has 64 cycles for a byte. The tests count the cycles of the compiled loops, with
 * and without the instruction cache. */
#ifndef LINE_CAPTURE_H
#define LINE_CAPTURE_H

#include <stdint.h>

namespace ov7675 {

enum class Capture : uint8_t {
  kRead,
  kSkipped, /* a line has begun */
  kNoLine,  /* no line begins */
  kNoClock, /* the line has no pixel clock */
};

namespace line_capture {

/* Returns true while a line is being sent. */
bool is_in_line();

/* Waits for the beginning of a line: kSkipped or kNoLine. */
Capture wait();

/* Waits for the beginning of a line and reads its center, 1,056 bytes: kRead, kNoLine or kNoClock. Without a line it
 * returns after 1 ms at most. */
Capture read(uint8_t *line);

}  // namespace line_capture
}  // namespace ov7675

#endif
