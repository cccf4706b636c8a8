/* 3x3 depthwise convolutions: three rows of the ring, ordered by channel, give one row, ordered by pixel. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#include "nn.h"
#include "nn_arithmetic.h"

enum { KERNEL = 12 }; /* three rows of w0 w1 w1 w2 */

NN_INLINE int16_t finish(nn_channel channel, int32_t rounding, int32_t sum) {
  return (int16_t)nn_saturate_unsigned(nn_requantize_positive(sum, channel.multiplier, rounding, channel.shift));
}

/* Sums of two adjacent outputs. */
typedef struct {
  int32_t x;
  int32_t y;
} pair;

/* From the pixels p0 p1 and p2 p3, the first output uses p0 p1 p2, the second p1 p2 p3. */
NN_INLINE pair multiply_row(uint32_t p01, uint32_t p23, uint32_t w01, uint32_t w12, pair sums) {
  sums.x = nn_smlabt(p23, w12, nn_smlad(p01, w01, sums.x));
  sums.y = nn_smlad(p23, w12, nn_smlatb(p01, w01, sums.y));
  return sums;
}

void nn_depthwise_by_one(const nn_block *block, const int16_t *const rows[3], int16_t *out) {
  const int32_t channels = block->middle.channels;
  const int32_t room = 4 * block->project.groups;
  const int32_t width = block->result.width;
  const int16_t *weights = block->depthwise_weights;
  const int16_t *top = rows[0];
  const int16_t *middle = rows[1];
  const int16_t *bottom = rows[2];
  for (int32_t number = 0; number < channels; number++, weights += KERNEL) {
    const nn_channel channel = block->depthwise_channels[number];
    const int32_t rounding = nn_rounding(channel.shift, 0);
    int16_t *to = out + number;
    for (int32_t column = 0; column < width; column += 2, to += 2 * room) {
      pair sums = {channel.bias, channel.bias};
      sums =
          multiply_row(nn_load(top + column), nn_load(top + column + 2), nn_load(weights), nn_load(weights + 2), sums);
      sums = multiply_row(nn_load(middle + column), nn_load(middle + column + 2), nn_load(weights + 4),
                          nn_load(weights + 6), sums);
      sums = multiply_row(nn_load(bottom + column), nn_load(bottom + column + 2), nn_load(weights + 8),
                          nn_load(weights + 10), sums);
      to[0] = finish(channel, rounding, sums.x);
      if (column + 1 < width) {
        to[room] = finish(channel, rounding, sums.y);
      }
    }
    top += block->ring_columns;
    middle += block->ring_columns;
    bottom += block->ring_columns;
  }
}

void nn_depthwise_by_two(const nn_block *block, const int16_t *const rows[3], int16_t *out) {
  const int32_t channels = block->middle.channels;
  const int32_t room = 4 * block->project.groups;
  const int32_t width = block->result.width;
  const int16_t *weights = block->depthwise_weights;
  const int16_t *top = rows[0];
  const int16_t *middle = rows[1];
  const int16_t *bottom = rows[2];
  for (int32_t number = 0; number < channels; number++, weights += KERNEL) {
    const nn_channel channel = block->depthwise_channels[number];
    const int32_t rounding = nn_rounding(channel.shift, 0);
    int16_t *to = out + number;
    uint32_t top_next = nn_load(top);
    uint32_t middle_next = nn_load(middle);
    uint32_t bottom_next = nn_load(bottom);
    for (int32_t column = 0; column < width; column++, to += room) {
      int32_t sum = nn_smlad(top_next, nn_load(weights), channel.bias);
      sum = nn_smlad(middle_next, nn_load(weights + 4), sum);
      sum = nn_smlad(bottom_next, nn_load(weights + 8), sum);
      top_next = nn_load(top + 2 * column + 2);
      middle_next = nn_load(middle + 2 * column + 2);
      bottom_next = nn_load(bottom + 2 * column + 2);
      sum = nn_smlabt(top_next, nn_load(weights + 2), sum);
      sum = nn_smlabt(middle_next, nn_load(weights + 6), sum);
      sum = nn_smlabt(bottom_next, nn_load(weights + 10), sum);
      *to = finish(channel, rounding, sum);
    }
    top += block->ring_columns;
    middle += block->ring_columns;
    bottom += block->ring_columns;
  }
}

/* Any clamp, either stride. */
void nn_depthwise_any(const nn_block *block, const int16_t *const rows[3], int16_t *out) {
  const int32_t channels = block->middle.channels;
  const int32_t room = 4 * block->project.groups;
  for (int32_t number = 0; number < channels; number++) {
    const nn_channel channel = block->depthwise_channels[number];
    const int32_t rounding = nn_rounding(channel.shift, 0);
    for (int32_t column = 0; column < block->result.width; column++) {
      const int16_t *weights = block->depthwise_weights + number * KERNEL;
      int32_t sum = channel.bias;
      for (int32_t row = 0; row < 3; row++, weights += 4) {
        const int16_t *pixels = rows[row] + number * block->ring_columns + column * block->stride;
        sum += pixels[0] * weights[0] + pixels[1] * weights[1] + pixels[2] * weights[3];
      }
      int32_t value = nn_requantize(sum, channel.multiplier, rounding, channel.shift);
      out[column * room + number] = (int16_t)nn_clamp(value, block->depthwise_low, block->depthwise_high);
    }
  }
}
