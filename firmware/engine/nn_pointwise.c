/* 1x1 convolutions of widened pixels: two pixels by two output channels at a time. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#include "nn.h"
#include "nn_arithmetic.h"
#include "nn_widen.h"

/* Sums of two pixels (x, y) by two output channels (a, b). */
typedef struct {
  int32_t ax;
  int32_t ay;
  int32_t bx;
  int32_t by;
} quad;

NN_INLINE quad multiply(const int8_t *weights, const int16_t *x, const int16_t *y, int32_t groups, quad sums) {
  const int8_t *end = weights + 8 * groups;
  do {
    uint32_t a = nn_load(weights);
    uint32_t b = nn_load(weights + 4);
    uint32_t a01 = nn_sxtb16(a);
    uint32_t a23 = nn_sxtb16_odd(a);
    uint32_t b01 = nn_sxtb16(b);
    uint32_t b23 = nn_sxtb16_odd(b);
    uint32_t x01 = nn_load(x);
    uint32_t x23 = nn_load(x + 2);
    sums.ax = nn_smlad(x23, a23, nn_smlad(x01, a01, sums.ax));
    sums.bx = nn_smlad(x23, b23, nn_smlad(x01, b01, sums.bx));
    uint32_t y01 = nn_load(y);
    uint32_t y23 = nn_load(y + 2);
    sums.ay = nn_smlad(y23, a23, nn_smlad(y01, a01, sums.ay));
    sums.by = nn_smlad(y23, b23, nn_smlad(y01, b01, sums.by));
    weights += 8;
    x += 4;
    y += 4;
  } while (weights != end);
  return sums;
}

typedef enum { POSITIVE, ANY, CLAMP, ADD } finish_kind;

/* Scales an operand or the sum of an addition. Bit-exact for values of nine bits. */
NN_INLINE int32_t scale_operand(int32_t value, uint8_t left, nn_factor factor) {
  int32_t twice = (int32_t)((uint32_t)value << left);
  return nn_requantize(twice, factor.multiplier, nn_rounding(factor.shift, 0), factor.shift);
}

NN_INLINE int32_t add(const nn_addition *addition, int32_t a, int32_t b) {
  int32_t sum = scale_operand(a - addition->zero_a, addition->left_a, addition->factor_a) +
                scale_operand(b - addition->zero_b, addition->left_b, addition->factor_b);
  nn_factor total = addition->total;
  int32_t scaled = nn_requantize(sum * 2, total.multiplier, nn_rounding(total.shift, addition->zero), total.shift);
  return nn_clamp(scaled, addition->low, addition->high);
}

NN_INLINE int32_t finish(finish_kind kind, const nn_pointwise *layer, const nn_channel *channel, int32_t rounding,
                         int32_t sum, const int8_t *residual) {
  if (kind == POSITIVE) {
    return nn_saturate_signed(nn_requantize_positive(sum * 2, channel->multiplier, rounding, channel->shift));
  }
  int32_t value = nn_requantize(sum * 2, channel->multiplier, rounding, channel->shift);
  if (kind == ANY) {
    return nn_saturate_signed(value);
  }
  value = nn_clamp(value, layer->low, layer->high);
  return kind == ADD ? add(layer->addition, *residual, value) : value;
}

/* An odd last channel or pixel is paired with itself: the same result is stored twice. */
NN_INLINE void project(finish_kind kind, const nn_pointwise *layer, const int16_t *pixels, int32_t width,
                       const int8_t *residual, int8_t *out) {
  const int32_t channels = layer->channels_out;
  const int32_t values = 4 * layer->groups;
  const int8_t *weights = layer->weights;
  for (int32_t first = 0; first < channels; first += 2, weights += 2 * values) {
    const int32_t partner = first + 1 < channels;
    const nn_channel a = layer->channels[first];
    const nn_channel b = layer->channels[first + partner];
    const int32_t rounding_a = nn_rounding(a.shift, layer->zero);
    const int32_t rounding_b = nn_rounding(b.shift, layer->zero);
    const int16_t *x = pixels;
    for (int32_t column = 0; column < width; column += 2, x += 2 * values) {
      const int32_t next = column + 1 < width;
      const int32_t at = column * channels + first;
      const int32_t at_y = at + next * channels;
      const int8_t *from = kind == ADD ? residual : out;
      quad sums = multiply(weights, x, x + next * values, layer->groups, (quad){a.bias, a.bias, b.bias, b.bias});
      int32_t ax = finish(kind, layer, &a, rounding_a, sums.ax, from + at);
      int32_t bx = finish(kind, layer, &b, rounding_b, sums.bx, from + at + partner);
      int32_t ay = finish(kind, layer, &a, rounding_a, sums.ay, from + at_y);
      int32_t by = finish(kind, layer, &b, rounding_b, sums.by, from + at_y + partner);
      out[at_y + partner] = (int8_t)by;
      out[at_y] = (int8_t)ay;
      out[at + partner] = (int8_t)bx;
      out[at] = (int8_t)ax;
    }
  }
}

void nn_project_positive(const nn_pointwise *layer, const int16_t *pixels, int32_t width, const int8_t *residual,
                         int8_t *out) {
  project(POSITIVE, layer, pixels, width, residual, out);
}

void nn_project_any(const nn_pointwise *layer, const int16_t *pixels, int32_t width, const int8_t *residual,
                    int8_t *out) {
  project(ANY, layer, pixels, width, residual, out);
}

void nn_project_clamp(const nn_pointwise *layer, const int16_t *pixels, int32_t width, const int8_t *residual,
                      int8_t *out) {
  project(CLAMP, layer, pixels, width, residual, out);
}

void nn_project_add(const nn_pointwise *layer, const int16_t *pixels, int32_t width, const int8_t *residual,
                    int8_t *out) {
  project(ADD, layer, pixels, width, residual, out);
}

/* Widens the channels of each pixel, padded to a multiple of four. */
static void widen_pixels(const int8_t *in, int16_t *out, int32_t pixels, int32_t channels, int32_t zero) {
  const int32_t room = (channels + 3) / 4 * 4;
  if (room == channels) {
    nn_widen(in, out, pixels * channels, zero);
    return;
  }
  for (int32_t pixel = 0; pixel < pixels; pixel++, in += channels, out += room) {
    nn_widen(in, out, channels, zero);
    memset(out + channels, 0, (size_t)(room - channels) * sizeof *out);
  }
}

NN_INLINE int32_t expanded(bool positive, const nn_block *block, nn_channel channel, int32_t rounding, int32_t sum) {
  if (positive) {
    return nn_saturate_unsigned(nn_requantize_positive(sum * 2, channel.multiplier, rounding, channel.shift));
  }
  return nn_clamp(nn_requantize(sum * 2, channel.multiplier, rounding, channel.shift), block->expand_low,
                  block->expand_high);
}

NN_INLINE void expand(bool positive, const nn_block *block, const int8_t *row, int16_t *widened, int16_t *slot) {
  const int32_t channels = block->middle.channels;
  const int32_t width = block->middle.width;
  const int32_t values = 4 * block->expand_groups;
  const int32_t columns = block->ring_columns;
  const int8_t *weights = block->expand_weights;
  widen_pixels(row, widened, width, block->source.channels, block->source_zero);
  for (int32_t first = 0; first < channels; first += 2, weights += 2 * values) {
    const int32_t partner = first + 1 < channels;
    const nn_channel a = block->expand_channels[first];
    const nn_channel b = block->expand_channels[first + partner];
    const int32_t rounding_a = nn_rounding(a.shift, 0);
    const int32_t rounding_b = nn_rounding(b.shift, 0);
    int16_t *out_a = slot + first * columns + block->left;
    int16_t *out_b = out_a + partner * columns;
    const int16_t *x = widened;
    for (int32_t column = 0; column < width; column += 2, x += 2 * values) {
      const int32_t next = column + 1 < width;
      quad sums = multiply(weights, x, x + next * values, block->expand_groups, (quad){a.bias, a.bias, b.bias, b.bias});
      out_b[column + next] = (int16_t)expanded(positive, block, b, rounding_b, sums.by);
      out_b[column] = (int16_t)expanded(positive, block, b, rounding_b, sums.bx);
      out_a[column + next] = (int16_t)expanded(positive, block, a, rounding_a, sums.ay);
      out_a[column] = (int16_t)expanded(positive, block, a, rounding_a, sums.ax);
    }
  }
}

void nn_expand_positive(const nn_block *block, const int8_t *row, int16_t *widened, int16_t *slot) {
  expand(true, block, row, widened, slot);
}

void nn_expand_clamp(const nn_block *block, const int8_t *row, int16_t *widened, int16_t *slot) {
  expand(false, block, row, widened, slot);
}

void nn_expand_copy(const nn_block *block, const int8_t *row, int16_t *widened, int16_t *slot) {
  (void)widened;
  const int32_t channels = block->source.channels;
  const int32_t zero = block->source_zero;
  for (int32_t channel = 0; channel < channels; channel++) {
    const int8_t *in = row + channel;
    int16_t *out = slot + channel * block->ring_columns + block->left;
    for (int32_t column = 0; column < block->source.width; column++, in += channels) {
      out[column] = (int16_t)(*in - zero);
    }
  }
}

void nn_pointwise_run(const nn_pointwise *layer, int32_t pixels, int8_t *scratch, const int8_t *in, int8_t *out) {
  int16_t *widened = (int16_t *)(void *)scratch;
  for (int32_t done = 0; done < pixels; done += NN_CHUNK) {
    const int32_t count = pixels - done < NN_CHUNK ? pixels - done : NN_CHUNK;
    widen_pixels(in + done * layer->channels_in, widened, count, layer->channels_in, layer->source_zero);
    layer->project(layer, widened, count, 0, out + done * layer->channels_out);
  }
}
