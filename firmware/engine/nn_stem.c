/* The first 3x3 convolution, on an image of few channels: three widened rows give one row of the ring. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#include "nn.h"
#include "nn_arithmetic.h"

enum {
  TAPS = 10, /* three pixels of three channels, and a zero */
  KERNEL = 3 * TAPS,
  STEP = 6, /* a stride of two pixels */
};

/* Sums of two adjacent outputs (x, y) by two output channels (a, b). */
typedef struct {
  int32_t ax;
  int32_t ay;
  int32_t bx;
  int32_t by;
} quad;

NN_INLINE quad multiply_row(const int16_t *pixels, const int16_t *a, const int16_t *b, quad sums) {
  for (int32_t tap = 0; tap < TAPS; tap += 2) {
    uint32_t x = nn_load(pixels + tap);
    uint32_t y = nn_load(pixels + STEP + tap);
    uint32_t weights_a = nn_load(a + tap);
    uint32_t weights_b = nn_load(b + tap);
    sums.ax = nn_smlad(x, weights_a, sums.ax);
    sums.bx = nn_smlad(x, weights_b, sums.bx);
    sums.ay = nn_smlad(y, weights_a, sums.ay);
    sums.by = nn_smlad(y, weights_b, sums.by);
  }
  return sums;
}

NN_INLINE int16_t finish(nn_channel channel, int32_t rounding, int32_t sum) {
  return (int16_t)nn_saturate_unsigned(nn_requantize_positive(sum, channel.multiplier, rounding, channel.shift));
}

/* For an even width and an even number of channels. */
void nn_stem_rgb_by_two(const nn_block *block, const int16_t *const rows[3], int16_t *slot) {
  const int32_t columns = block->ring_columns;
  const int16_t *weights = block->expand_weights;
  for (int32_t first = 0; first < block->middle.channels; first += 2, weights += 2 * KERNEL) {
    const nn_channel a = block->expand_channels[first];
    const nn_channel b = block->expand_channels[first + 1];
    const int32_t rounding_a = nn_rounding(a.shift, 0);
    const int32_t rounding_b = nn_rounding(b.shift, 0);
    int16_t *out_a = slot + first * columns + block->left;
    int16_t *out_b = out_a + columns;
    for (int32_t column = 0; column < block->middle.width; column += 2) {
      quad sums = {a.bias, a.bias, b.bias, b.bias};
      sums = multiply_row(rows[0] + column * STEP, weights, weights + KERNEL, sums);
      sums = multiply_row(rows[1] + column * STEP, weights + TAPS, weights + KERNEL + TAPS, sums);
      sums = multiply_row(rows[2] + column * STEP, weights + 2 * TAPS, weights + KERNEL + 2 * TAPS, sums);
      out_a[column] = finish(a, rounding_a, sums.ax);
      out_a[column + 1] = finish(a, rounding_a, sums.ay);
      out_b[column] = finish(b, rounding_b, sums.bx);
      out_b[column + 1] = finish(b, rounding_b, sums.by);
    }
  }
}

void nn_stem_any(const nn_block *block, const int16_t *const rows[3], int16_t *slot) {
  const int32_t taps = block->stem_taps;
  const int32_t step = block->stem_stride * block->source.channels;
  const int16_t *weights = block->expand_weights;
  for (int32_t number = 0; number < block->middle.channels; number++, weights += 3 * taps) {
    const nn_channel channel = block->expand_channels[number];
    const int32_t rounding = nn_rounding(channel.shift, 0);
    int16_t *out = slot + number * block->ring_columns + block->left;
    for (int32_t column = 0; column < block->middle.width; column++) {
      int32_t sum = channel.bias;
      for (int32_t row = 0; row < 3; row++) {
        const int16_t *pixels = rows[row] + column * step;
        for (int32_t tap = 0; tap < taps; tap++) {
          sum += pixels[tap] * weights[row * taps + tap];
        }
      }
      int32_t value = nn_requantize(sum, channel.multiplier, rounding, channel.shift);
      out[column] = (int16_t)nn_clamp(value, block->expand_low, block->expand_high);
    }
  }
}
