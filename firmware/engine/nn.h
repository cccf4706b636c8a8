/* The int8 engine: what a generated model is made of, and the kernels that run it.
 *
 * Contract: no heap, no global, no recursion; the caller owns every buffer. Tensors are (height, width, channels) int8,
 * channels innermost. Every result equals LiteRT's reference kernels bit for bit. Kernels trust their tables: these are
 * generated and checked when they are made, so nothing here returns a status.
 *
 * A block is (an expansion,) a 3x3 depthwise layer and a 1x1 projection (and an addition). It takes its input row by
 * row and gives its result row by row; what lies between is held for three rows only, as 16-bit values less their zero
 * point. Which kernel runs is a pointer in the table, so the linker keeps only those that a model uses.
 */
#ifndef NN_H
#define NN_H

#include <stdbool.h>
#include <stdint.h>

/* What an output channel adds, multiplies by, and shifts right by (negative: left). */
typedef struct {
  int32_t bias;
  int32_t multiplier;
  int32_t shift;
} nn_channel;

/* A real factor: multiplier / 2^31 / 2^shift. */
typedef struct {
  int32_t multiplier;
  int32_t shift;
} nn_factor;

typedef struct {
  int16_t height;
  int16_t width;
  int16_t channels;
} nn_shape;

/* Operands and result of an addition: (a - zero_a) * factor_a + (b - zero_b) * factor_b, times total, plus zero. The
 * operands are shifted to the left by `left` first, which holds a doubling. */
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

/* Multiplies a row of widened pixels (16-bit values less their zero point, `groups` times four a pixel) and writes int8
 * pixels. `residual` is the row an addition adds, or NULL. */
typedef void nn_project(const nn_pointwise *layer, const int16_t *pixels, int32_t width, const int8_t *residual,
                        int8_t *out);

/* A 1x1 convolution. Weights: pairs of output channels, each in groups of four inputs in the order 0 2 1 3, the two
 * channels' groups in turn; an odd channel has a partner of zeros. The clamp is in stored values. */
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

/* Brings one row of a block's input into the ring: channel after channel, `ring_columns` values each. */
typedef void nn_expand(const nn_block *block, const int8_t *row, int16_t *widened, int16_t *slot);

/* Makes one row of a depthwise layer of three rows of the ring, pixel after pixel. */
typedef void nn_depthwise(const nn_block *block, const int16_t *const rows[3], int16_t *out);

/* Multiplies three widened image rows into one row of the ring. */
typedef void nn_stem(const nn_block *block, const int16_t *const rows[3], int16_t *slot);

/* One output of the 3x3 kernels is clamped relative to its zero point. The stem's and the depthwise layer's weights and
 * biases are doubled, which saves the rounding a shift. */
struct nn_block {
  nn_shape source;
  nn_shape middle;
  nn_shape result;

  nn_expand *expand; /* NULL for a stem */
  nn_stem *stem;     /* NULL without one */
  const void *expand_weights;
  const nn_channel *expand_channels;
  int16_t source_zero;
  int16_t expand_low;
  int16_t expand_high;
  int16_t expand_groups;
  int16_t stem_columns; /* 16-bit values of a widened image row */
  uint8_t stem_taps;    /* 16-bit weights of a row of the kernel, even */
  uint8_t stem_stride;
  uint8_t stem_top;
  uint8_t stem_left;

  nn_depthwise *depthwise;
  const int16_t *depthwise_weights; /* a channel: three rows of w0 w1 w1 w2 */
  const nn_channel *depthwise_channels;
  int16_t depthwise_low;
  int16_t depthwise_high;
  int16_t ring_columns;
  uint8_t stride;
  uint8_t top;
  uint8_t left;

  uint8_t residual_from_ring; /* the addition adds what the expansion gave */
  int16_t middle_zero;

  nn_pointwise project;

  /* Where the parts of the scratch begin, in bytes; the ring is at 0. */
  uint16_t row_at;
  uint16_t widened_at;
  uint16_t residual_at;
};

/* How far a block has come: rows taken, rows expanded, rows given. */
typedef struct {
  int16_t taken;
  int16_t expanded;
  int16_t given;
} nn_progress;

/* Starts a block; the scratch is the block's until its last row is given. */
void nn_block_begin(const nn_block *block, nn_progress *progress, int8_t *scratch);

/* Takes the next row. Every row that is ready must have been given before. */
void nn_block_take(const nn_block *block, nn_progress *progress, int8_t *scratch, const int8_t *row);

/* Tells whether the next row of the result can be given. Ask until it says no: it moves on to what lies below the
 * image. */
bool nn_block_ready(const nn_block *block, nn_progress *progress, int8_t *scratch);

/* Gives the next row. `residual` is the row of the block's input with the same number where an addition adds it, else
 * NULL; it may lie at `out`. */
void nn_block_give(const nn_block *block, nn_progress *progress, int8_t *scratch, const int8_t *residual, int8_t *out);

/* Runs a block over whole tensors, which may overlap as the planner allowed. */
void nn_block_run(const nn_block *block, int8_t *scratch, const int8_t *in, int8_t *out);

/* Runs a 1x1 convolution over `pixels`; the scratch holds NN_CHUNK widened pixels. */
enum { NN_CHUNK = 16 };
void nn_pointwise_run(const nn_pointwise *layer, int32_t pixels, int8_t *scratch, const int8_t *in, int8_t *out);

nn_project nn_project_positive; /* the clamp begins at the zero point and is what eight bits hold */
nn_project nn_project_any;      /* the clamp is what eight bits hold */
nn_project nn_project_clamp;
nn_project nn_project_add;

nn_expand nn_expand_copy; /* no expansion: the row itself */
nn_expand nn_expand_positive;
nn_expand nn_expand_clamp;

nn_stem nn_stem_rgb_by_two; /* three channels, stride 2, clamped to 0..255 above the zero point */
nn_stem nn_stem_any;

nn_depthwise nn_depthwise_by_one; /* stride 1, clamped to 0..255 above the zero point */
nn_depthwise nn_depthwise_by_two;
nn_depthwise nn_depthwise_any;

/* A layer on whole tensors, whatever its window, stride and padding. Weights: output channel, row, column, input
 * channel (a depthwise layer: channel, row, column). */
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

/* Averages each window over the pixels that lie inside the picture. */
void nn_average_pool(const nn_window *layer, const int8_t *in, int8_t *out);

/* Puts `zero` around a picture. */
void nn_pad(const nn_window *layer, const int8_t *in, int8_t *out);

/* Averages each channel over the whole picture; the factor holds the scales and the count. */
typedef struct {
  int32_t pixels;
  int32_t channels;
  nn_factor factor;
  int16_t source_zero;
  int16_t result_zero;
} nn_mean;
void nn_mean_run(const nn_mean *layer, const int8_t *in, int8_t *out);

/* A dense layer. Weights: output, input. Its products are rounded once, as LiteRT's are. */
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

/* Brings values to another scale; `in_flip` and `out_flip` are 128 where a side is uint8, and the zeros are then those
 * of the int8 that lies 128 below. */
typedef struct {
  int32_t count;
  nn_factor factor;
  int16_t source_zero;
  int16_t result_zero;
  uint8_t in_flip;
  uint8_t out_flip;
} nn_quantize;
void nn_quantize_run(const nn_quantize *layer, const int8_t *in, int8_t *out);

/* The softmax of `count` values, as 256ths less 128. `factor` brings a difference to 5.26 fixed point; a value that
 * lies more than `reach` below the greatest counts as 0. */
typedef struct {
  int32_t count;
  int32_t multiplier;
  int32_t left;
  int32_t reach;
} nn_softmax;
void nn_softmax_run(const nn_softmax *layer, const int8_t *in, int8_t *out);

#endif
