/* Runs a block row by row, with a ring of three rows. */
#include "nn.h"
#include "nn_arithmetic.h"
#include "nn_widen.h"

/* Rows are counted from the padding: row r is in slot r % 3 of the ring. */
static int16_t *ring_slot(const nn_block *block, int8_t *scratch, int32_t row) {
  int16_t *ring = (int16_t *)(void *)scratch;
  return ring + row % 3 * block->ring_columns * block->middle.channels;
}

static int16_t *image_slot(const nn_block *block, int8_t *scratch, int32_t row) {
  int16_t *widened = (int16_t *)(void *)(scratch + block->widened_at);
  return widened + row % 3 * block->stem_columns;
}

static size_t ring_slot_bytes(const nn_block *block) {
  return (size_t)(block->ring_columns * block->middle.channels) * sizeof(int16_t);
}

static size_t image_slot_bytes(const nn_block *block) { return (size_t)block->stem_columns * sizeof(int16_t); }

/* Later writes leave the zeros on the left and right of each row in place. */
void nn_block_begin(const nn_block *block, nn_progress *progress, int8_t *scratch) {
  *progress = (nn_progress){0, 0, 0};
  memset(scratch, 0, 3 * ring_slot_bytes(block));
  if (block->stem != NULL) {
    memset(scratch + block->widened_at, 0, 3 * image_slot_bytes(block));
  }
}

static void run_stem(const nn_block *block, nn_progress *progress, int8_t *scratch) {
  const int32_t first = progress->expanded * block->stem_stride;
  const int16_t *const rows[3] = {image_slot(block, scratch, first), image_slot(block, scratch, first + 1),
                                  image_slot(block, scratch, first + 2)};
  block->stem(block, rows, ring_slot(block, scratch, progress->expanded + block->top));
  progress->expanded++;
}

static bool stem_is_ready(const nn_block *block, const nn_progress *progress) {
  const int32_t last = progress->expanded * block->stem_stride + 2;
  return progress->expanded < block->middle.height && last < progress->taken + block->stem_top;
}

static void take_image_row(const nn_block *block, nn_progress *progress, int8_t *scratch, const int8_t *row) {
  int16_t *slot = image_slot(block, scratch, progress->taken + block->stem_top);
  nn_widen(row, slot + block->stem_left * block->source.channels, block->source.width * block->source.channels,
           block->source_zero);
  progress->taken++;
  if (stem_is_ready(block, progress)) {
    run_stem(block, progress, scratch);
  }
}

/* The last row of a stem reaches below the image. It is computed on demand: earlier, it would overwrite a row of the
 * ring that the result still needs. */
static void take_row_below(const nn_block *block, nn_progress *progress, int8_t *scratch) {
  if (block->stem != NULL && progress->taken == block->source.height && progress->expanded < block->middle.height) {
    memset(image_slot(block, scratch, progress->taken + block->stem_top), 0, image_slot_bytes(block));
    run_stem(block, progress, scratch);
  }
}

void nn_block_take(const nn_block *block, nn_progress *progress, int8_t *scratch, const int8_t *row) {
  if (block->stem != NULL) {
    take_image_row(block, progress, scratch, row);
    return;
  }
  int16_t *widened = (int16_t *)(void *)(scratch + block->widened_at);
  block->expand(block, row, widened, ring_slot(block, scratch, progress->expanded + block->top));
  progress->taken++;
  progress->expanded++;
}

static bool has_rows(const nn_block *block, const nn_progress *progress) {
  const int32_t last = progress->given * block->stride + 2;
  return last < progress->expanded + block->top || progress->expanded == block->middle.height;
}

bool nn_block_ready(const nn_block *block, nn_progress *progress, int8_t *scratch) {
  if (progress->given == block->result.height) {
    return false;
  }
  if (!has_rows(block, progress)) {
    take_row_below(block, progress, scratch);
  }
  return has_rows(block, progress);
}

/* Clears the ring's row below the image if the window reaches it. */
static void pad_below(const nn_block *block, const nn_progress *progress, int8_t *scratch) {
  const int32_t last = progress->given * block->stride + 2;
  if (last >= progress->expanded + block->top) {
    memset(ring_slot(block, scratch, last), 0, ring_slot_bytes(block));
  }
}

/* Converts one row of the ring back to pixels, for the addition. */
static const int8_t *residual_row(const nn_block *block, const nn_progress *progress, int8_t *scratch) {
  const int16_t *in = ring_slot(block, scratch, progress->given + block->top) + block->left;
  int8_t *out = scratch + block->residual_at;
  for (int32_t channel = 0; channel < block->middle.channels; channel++, in += block->ring_columns) {
    for (int32_t column = 0; column < block->middle.width; column++) {
      out[column * block->middle.channels + channel] = (int8_t)(in[column] + block->middle_zero);
    }
  }
  return out;
}

void nn_block_give(const nn_block *block, nn_progress *progress, int8_t *scratch, const int8_t *residual, int8_t *out) {
  int16_t *row = (int16_t *)(void *)(scratch + block->row_at);
  const int32_t first = progress->given * block->stride;
  pad_below(block, progress, scratch);
  const int16_t *const rows[3] = {ring_slot(block, scratch, first), ring_slot(block, scratch, first + 1),
                                  ring_slot(block, scratch, first + 2)};
  block->depthwise(block, rows, row);
  if (block->residual_from_ring) {
    residual = residual_row(block, progress, scratch);
  }
  block->project.project(&block->project, row, block->result.width, residual, out);
  progress->given++;
}

void nn_block_run(const nn_block *block, int8_t *scratch, const int8_t *in, int8_t *out) {
  const int32_t row_in = block->source.width * block->source.channels;
  const int32_t row_out = block->result.width * block->result.channels;
  nn_progress progress;
  nn_block_begin(block, &progress, scratch);
  for (int32_t row = 0; row < block->source.height; row++) {
    nn_block_take(block, &progress, scratch, in + row * row_in);
    while (nn_block_ready(block, &progress, scratch)) {
      nn_block_give(block, &progress, scratch, in + progress.given * row_in, out + progress.given * row_out);
    }
  }
}
