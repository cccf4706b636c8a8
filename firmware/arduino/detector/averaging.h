/* Averages up to three lines of 528 pixels into a row of 176 pixels, each the mean of 3x3 pixels.
 *
 * The sensor sends 640x480 pixels; the center 528x432 are exactly three times a QCIF frame. The average reduces the
 * noise of the small sensor, and training images are area-averaged too. Input and output are RGB565, high byte first.
 */
#ifndef AVERAGING_H
#define AVERAGING_H

#include <stdint.h>

constexpr int32_t kRowPixels = 176;
constexpr int32_t kFrameRows = 144;
constexpr int32_t kShrink = 3;
constexpr int32_t kLinePixels = kRowPixels * kShrink;

class Averaging {
 public:
  void clear() {
    for (Sum &sum : sums_) {
      sum = Sum{0, 0, 0};
    }
    lines_ = 0;
  }

  /* Adds a line of kLinePixels pixels. */
  void add(const uint8_t *line) {
    for (Sum &sum : sums_) {
      for (int32_t part = 0; part < kShrink; part++, line += 2) {
        const uint32_t pixel = static_cast<uint32_t>(line[0]) << 8 | line[1];
        sum.red = static_cast<uint16_t>(sum.red + (pixel >> 11));
        sum.green = static_cast<uint16_t>(sum.green + (pixel >> 5 & 63u));
        sum.blue = static_cast<uint16_t>(sum.blue + (pixel & 31u));
      }
    }
    lines_++;
  }

  int32_t lines() const { return lines_; }

  /* Writes kRowPixels pixels, rounded half up. At least one line must have been added. */
  void write(uint8_t *row) const {
    const uint32_t count = static_cast<uint32_t>(lines_ * kShrink);
    for (const Sum &sum : sums_) {
      const uint32_t red = (2 * sum.red + count) / (2 * count);
      const uint32_t green = (2 * sum.green + count) / (2 * count);
      const uint32_t blue = (2 * sum.blue + count) / (2 * count);
      const uint32_t pixel = red << 11 | green << 5 | blue;
      *row++ = static_cast<uint8_t>(pixel >> 8);
      *row++ = static_cast<uint8_t>(pixel);
    }
  }

 private:
  struct Sum {
    uint16_t red;
    uint16_t green;
    uint16_t blue;
  };
  Sum sums_[kRowPixels];
  int32_t lines_;
};

#endif
