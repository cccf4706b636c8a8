/* Portable kernels on whole tensors with any window, stride and padding, for layers that do not fit into a block. */
#include <stddef.h>

#include "nn.h"
#include "nn_arithmetic.h"

static int32_t finish(const nn_window *layer, const nn_channel *channel, uint32_t sum) {
  int32_t value = nn_scale((int32_t)sum, channel->multiplier, channel->shift);
  return nn_clamp(value + layer->result_zero, layer->low, layer->high);
}

/* The part of a window inside the image: rows or columns `from` to `to` of a window that starts at `start`. */
typedef struct {
  int32_t start;
  int32_t from;
  int32_t to;
} span;

static span inside(int32_t output, int32_t stride, int32_t before, int32_t window, int32_t size) {
  const int32_t start = output * stride - before;
  return (span){start, start < 0 ? -start : 0, start + window > size ? size - start : window};
}

static span rows_of(const nn_window *layer, int32_t output) {
  return inside(output, layer->stride_rows, layer->top, layer->window_height, layer->source.height);
}

static span columns_of(const nn_window *layer, int32_t output) {
  return inside(output, layer->stride_columns, layer->left, layer->window_width, layer->source.width);
}

static const int8_t *pixel_at(const nn_window *layer, const int8_t *in, int32_t row, int32_t column) {
  return in + (row * layer->source.width + column) * layer->source.channels;
}

static uint32_t convolve_at(const nn_window *layer, const int8_t *in, const int8_t *weights, span rows, span columns) {
  const int32_t channels = layer->source.channels;
  uint32_t sum = 0;
  for (int32_t row = rows.from; row < rows.to; row++) {
    for (int32_t column = columns.from; column < columns.to; column++) {
      const int8_t *pixel = pixel_at(layer, in, rows.start + row, columns.start + column);
      const int8_t *kernel = weights + (row * layer->window_width + column) * channels;
      for (int32_t channel = 0; channel < channels; channel++) {
        sum += (uint32_t)((pixel[channel] - layer->source_zero) * kernel[channel]);
      }
    }
  }
  return sum;
}

void nn_convolve(const nn_window *layer, const int8_t *in, int8_t *out) {
  const int32_t taps = layer->window_height * layer->window_width * layer->source.channels;
  for (int32_t row = 0; row < layer->result.height; row++) {
    for (int32_t column = 0; column < layer->result.width; column++) {
      const span rows = rows_of(layer, row);
      const span columns = columns_of(layer, column);
      for (int32_t channel = 0; channel < layer->result.channels; channel++) {
        const nn_channel *to = layer->channels + channel;
        uint32_t sum = convolve_at(layer, in, layer->weights + channel * taps, rows, columns);
        *out++ = (int8_t)finish(layer, to, sum + (uint32_t)to->bias);
      }
    }
  }
}

static uint32_t convolve_channel(const nn_window *layer, const int8_t *in, int32_t channel, span rows, span columns) {
  const int32_t from = channel / (layer->result.channels / layer->source.channels);
  const int8_t *kernel = layer->weights + channel * layer->window_height * layer->window_width;
  uint32_t sum = 0;
  for (int32_t row = rows.from; row < rows.to; row++) {
    for (int32_t column = columns.from; column < columns.to; column++) {
      const int8_t *pixel = pixel_at(layer, in, rows.start + row, columns.start + column);
      sum += (uint32_t)((pixel[from] - layer->source_zero) * kernel[row * layer->window_width + column]);
    }
  }
  return sum;
}

void nn_convolve_depthwise(const nn_window *layer, const int8_t *in, int8_t *out) {
  for (int32_t row = 0; row < layer->result.height; row++) {
    for (int32_t column = 0; column < layer->result.width; column++) {
      const span rows = rows_of(layer, row);
      const span columns = columns_of(layer, column);
      for (int32_t channel = 0; channel < layer->result.channels; channel++) {
        const nn_channel *to = layer->channels + channel;
        uint32_t sum = convolve_channel(layer, in, channel, rows, columns);
        *out++ = (int8_t)finish(layer, to, sum + (uint32_t)to->bias);
      }
    }
  }
}

static int32_t average_at(const nn_window *layer, const int8_t *in, int32_t channel, span rows, span columns) {
  const int32_t count = (rows.to - rows.from) * (columns.to - columns.from);
  int32_t sum = 0;
  for (int32_t row = rows.from; row < rows.to; row++) {
    for (int32_t column = columns.from; column < columns.to; column++) {
      sum += pixel_at(layer, in, rows.start + row, columns.start + column)[channel];
    }
  }
  return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

void nn_average_pool(const nn_window *layer, const int8_t *in, int8_t *out) {
  for (int32_t row = 0; row < layer->result.height; row++) {
    for (int32_t column = 0; column < layer->result.width; column++) {
      const span rows = rows_of(layer, row);
      const span columns = columns_of(layer, column);
      for (int32_t channel = 0; channel < layer->result.channels; channel++) {
        *out++ = (int8_t)nn_clamp(average_at(layer, in, channel, rows, columns), layer->low, layer->high);
      }
    }
  }
}

void nn_pad(const nn_window *layer, const int8_t *in, int8_t *out) {
  const int32_t row_in = layer->source.width * layer->source.channels;
  const int32_t row_out = layer->result.width * layer->result.channels;
  memset(out, layer->source_zero, (size_t)(layer->result.height * row_out));
  out += layer->top * row_out + layer->left * layer->result.channels;
  for (int32_t row = 0; row < layer->source.height; row++) {
    memcpy(out + row * row_out, in + row * row_in, (size_t)row_in);
  }
}

void nn_mean_run(const nn_mean *layer, const int8_t *in, int8_t *out) {
  for (int32_t channel = 0; channel < layer->channels; channel++) {
    int32_t sum = 0;
    for (int32_t pixel = 0; pixel < layer->pixels; pixel++) {
      sum += in[pixel * layer->channels + channel] - layer->source_zero;
    }
    int32_t value = nn_scale(sum, layer->factor.multiplier, layer->factor.shift) + layer->result_zero;
    out[channel] = (int8_t)nn_saturate_signed(value);
  }
}

void nn_dense_run(const nn_dense *layer, const int8_t *in, int8_t *out) {
  const int8_t *weights = layer->weights;
  for (int32_t output = 0; output < layer->outputs; output++, weights += layer->inputs) {
    const nn_channel *channel = layer->channels + output;
    uint32_t sum = (uint32_t)channel->bias;
    for (int32_t input = 0; input < layer->inputs; input++) {
      sum += (uint32_t)((in[input] - layer->source_zero) * weights[input]);
    }
    const int64_t product = (int64_t)(int32_t)sum * channel->multiplier;
    const int32_t shift = 31 + channel->shift;
    const int32_t value = (int32_t)((product + ((int64_t)1 << (shift - 1))) >> shift) + layer->result_zero;
    out[output] = (int8_t)nn_clamp(value, layer->low, layer->high);
  }
}

static int32_t scale_operand(int32_t value, uint8_t left, nn_factor factor) {
  return nn_scale((int32_t)((uint32_t)value << (left - 1)), factor.multiplier, factor.shift);
}

void nn_add(const nn_addition *layer, int32_t count, const int8_t *a, const int8_t *b, int8_t *out) {
  for (int32_t at = 0; at < count; at++) {
    int32_t sum = scale_operand(a[at] - layer->zero_a, layer->left_a, layer->factor_a) +
                  scale_operand(b[at] - layer->zero_b, layer->left_b, layer->factor_b);
    int32_t value = nn_scale(sum, layer->total.multiplier, layer->total.shift) + layer->zero;
    out[at] = (int8_t)nn_clamp(value, layer->low, layer->high);
  }
}

void nn_quantize_run(const nn_quantize *layer, const int8_t *in, int8_t *out) {
  for (int32_t at = 0; at < layer->count; at++) {
    int32_t value = (int8_t)(uint8_t)((uint8_t)in[at] ^ layer->in_flip) - layer->source_zero;
    int32_t scaled = nn_scale(value, layer->factor.multiplier, layer->factor.shift) + layer->result_zero;
    out[at] = (int8_t)(uint8_t)((uint8_t)nn_saturate_signed(scaled) ^ layer->out_flip);
  }
}
