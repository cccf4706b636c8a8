/* The int8 engine: the tables of a generated model, and the kernels that run it.
 *
 * Contract: no heap, no globals, no recursion; the caller owns every buffer. Tensors are (height, width, channels)
 * int8, channels innermost. All results are bit-exact with LiteRT's reference kernels. The tables are checked when they
 * are generated; kernels do not check them and return no status.
 *
 * A block is an optional expansion, a 3x3 depthwise layer, a 1x1 projection and an optional addition. It takes its
 * input and gives its result row by row. Only three rows of the intermediate tensor are stored, as 16-bit values minus
 * the zero point. Tables point to their kernels, so that the linker keeps only the kernels that a model uses.
 */
#ifndef NN_H
#define NN_H

#include <stdbool.h>
#include <stdint.h>

/* Bias, multiplier and right shift of an output channel. A negative shift is to the left. */
typedef struct {
  int32_t bias;
  int32_t multiplier;
  int32_t shift;
} nn_channel;

/* The real factor multiplier / 2^31 / 2^shift. */
typedef struct {
  int32_t multiplier;
  int32_t shift;
} nn_factor;

typedef struct {
  int16_t height;
  int16_t width;
  int16_t channels;
} nn_shape;

/* An addition: ((a - zero_a) * factor_a + (b - zero_b) * factor_b) * total + zero, clamped to low and high. The
 * operands are first shifted left by left_a and left_b; these include a doubling. */
typedef struct {
  nn_factor factor_a;
  nn_factor factor_b;
  nn_factor total;
  int16_t zero_a;
  int16_t zero_b;
  int16_t zero;
  int16_t low;
  int16_t high;
  uint8_t left_a;
  uint8_t left_b;
} nn_addition;

typedef struct nn_block nn_block;
typedef struct nn_pointwise nn_pointwise;

/* Multiplies a row of widened pixels (16-bit values minus the zero point, 4 * `groups` per pixel) and writes int8
 * pixels. `residual` is the row that the addition adds, or NULL. */
typedef void nn_project(const nn_pointwise *layer, const int16_t *pixels, int32_t width, const int8_t *residual,
                        int8_t *out);

/* A 1x1 convolution. Weights are stored for pairs of output channels: groups of four inputs in the order 0 2 1 3,
 * alternating between the two channels. An odd last channel is paired with zeros. The clamp applies to stored values.
 */
struct nn_pointwise {
  const int8_t *weights;
  const nn_channel *channels;
  nn_project *project;
  const nn_addition *addition;
  int16_t groups;
  int16_t channels_in;
  int16_t source_zero;
  int16_t channels_out;
  int16_t zero;
  int16_t low;
  int16_t high;
};

/* Expands one row of a block's input into the ring: one channel after the other, `ring_columns` values each. */
typedef void nn_expand(const nn_block *block, const int8_t *row, int16_t *widened, int16_t *slot);

/* Computes one row of the depthwise layer from three rows of the ring, one pixel after the other. */
typedef void nn_depthwise(const nn_block *block, const int16_t *const rows[3], int16_t *out);

/* Computes one row of the ring from three widened image rows. */
typedef void nn_stem(const nn_block *block, const int16_t *const rows[3], int16_t *slot);

/* Outputs of the 3x3 kernels are clamped relative to their zero point. Weights and biases of the stem and of the
 * depthwise layer are doubled, which saves a shift in the rounding. */
struct nn_block {
  nn_shape source;
  nn_shape middle;
  nn_shape result;

  nn_expand *expand; /* NULL for a stem */
  nn_stem *stem;     /* NULL without a stem */
  const void *expand_weights;
  const nn_channel *expand_channels;
  int16_t source_zero;
  int16_t expand_low;
  int16_t expand_high;
  int16_t expand_groups;
  int16_t stem_columns; /* 16-bit values of a widened image row */
  uint8_t stem_taps;    /* 16-bit weights per row of the kernel, an even number */
  uint8_t stem_stride;
  uint8_t stem_top;
  uint8_t stem_left;

  nn_depthwise *depthwise;
  const int16_t *depthwise_weights; /* per channel three rows of w0 w1 w1 w2 */
  const nn_channel *depthwise_channels;
  int16_t depthwise_low;
  int16_t depthwise_high;
  int16_t ring_columns;
  uint8_t stride;
  uint8_t top;
  uint8_t left;

  uint8_t residual_from_ring; /* the addition adds the result of the expansion */
  int16_t middle_zero;

  nn_pointwise project;

  /* Offsets of the parts of the scratch buffer, in bytes; the ring is at 0. */
  uint16_t row_at;
  uint16_t widened_at;
  uint16_t residual_at;
};

/* The progress of a block, in rows. */
typedef struct {
  int16_t taken;
  int16_t expanded;
  int16_t given;
} nn_progress;

/* Starts a block. The scratch buffer belongs to the block until its last row is given. */
void nn_block_begin(const nn_block *block, nn_progress *progress, int8_t *scratch);

/* Takes the next row of the input. All rows that are ready must have been given before. */
void nn_block_take(const nn_block *block, nn_progress *progress, int8_t *scratch, const int8_t *row);

/* Returns true if the next row of the result is ready. Call it until it returns false: it also processes the padding
 * below the image. */
bool nn_block_ready(const nn_block *block, nn_progress *progress, int8_t *scratch);

/* Computes the next row of the result. `residual` is the row of the block's input with the same number if the addition
 * adds it, else NULL; it may be at `out`. */
void nn_block_give(const nn_block *block, nn_progress *progress, int8_t *scratch, const int8_t *residual, int8_t *out);

/* Runs a block on whole tensors, which may overlap as planned by the compiler. */
void nn_block_run(const nn_block *block, int8_t *scratch, const int8_t *in, int8_t *out);

/* Runs a 1x1 convolution on `pixels` pixels. The scratch buffer holds NN_CHUNK widened pixels. */
enum { NN_CHUNK = 16 };
void nn_pointwise_run(const nn_pointwise *layer, int32_t pixels, int8_t *scratch, const int8_t *in, int8_t *out);

nn_project nn_project_positive; /* clamps to the zero point and the upper limit of int8 */
nn_project nn_project_any;      /* clamps to int8 */
nn_project nn_project_clamp;
nn_project nn_project_add;

nn_expand nn_expand_copy; /* without an expansion: copies the row */
nn_expand nn_expand_positive;
nn_expand nn_expand_clamp;

nn_stem nn_stem_rgb_by_two; /* three channels, stride 2, clamp 0..255 above the zero point */
nn_stem nn_stem_any;

nn_depthwise nn_depthwise_by_one; /* stride 1, clamp 0..255 above the zero point */
nn_depthwise nn_depthwise_by_two;
nn_depthwise nn_depthwise_any;

/* A layer on whole tensors, with any window, stride and padding. Weights are ordered by output channel, row, column and
 * input channel; those of a depthwise layer by channel, row and column. */
typedef struct {
  nn_shape source;
  nn_shape result;
  const int8_t *weights;
  const nn_channel *channels;
  int16_t source_zero;
  int16_t result_zero;
  int16_t low;
  int16_t high;
  uint8_t window_height;
  uint8_t window_width;
  uint8_t stride_rows;
  uint8_t stride_columns;
  int16_t top;
  int16_t left;
} nn_window;

void nn_convolve(const nn_window *layer, const int8_t *in, int8_t *out);
void nn_convolve_depthwise(const nn_window *layer, const int8_t *in, int8_t *out);

/* Averages each window over its pixels inside the image. */
void nn_average_pool(const nn_window *layer, const int8_t *in, int8_t *out);

/* Pads an image with its zero point. */
void nn_pad(const nn_window *layer, const int8_t *in, int8_t *out);

/* Averages each channel over the whole image. The factor includes the scales and the count. */
typedef struct {
  int32_t pixels;
  int32_t channels;
  nn_factor factor;
  int16_t source_zero;
  int16_t result_zero;
} nn_mean;
void nn_mean_run(const nn_mean *layer, const int8_t *in, int8_t *out);

/* A dense layer. Weights are ordered by output and input. Products are rounded once, as in LiteRT. */
typedef struct {
  const int8_t *weights;
  const nn_channel *channels;
  int32_t inputs;
  int32_t outputs;
  int16_t source_zero;
  int16_t result_zero;
  int16_t low;
  int16_t high;
} nn_dense;
void nn_dense_run(const nn_dense *layer, const int8_t *in, int8_t *out);

void nn_add(const nn_addition *layer, int32_t count, const int8_t *a, const int8_t *b, int8_t *out);

/* Converts values to another scale. `in_flip` and `out_flip` are 128 for uint8 values; their zero points are then those
 * of the int8 values 128 below. */
typedef struct {
  int32_t count;
  nn_factor factor;
  int16_t source_zero;
  int16_t result_zero;
  uint8_t in_flip;
  uint8_t out_flip;
} nn_quantize;
void nn_quantize_run(const nn_quantize *layer, const int8_t *in, int8_t *out);

/* The softmax of `count` values, as probability * 256 - 128. `multiplier` and `left` convert a difference to 5.26 fixed
 * point. Values more than `reach` below the greatest have the probability 0. */
typedef struct {
  int32_t count;
  int32_t multiplier;
  int32_t left;
  int32_t reach;
} nn_softmax;
void nn_softmax_run(const nn_softmax *layer, const int8_t *in, int8_t *out);

#endif
