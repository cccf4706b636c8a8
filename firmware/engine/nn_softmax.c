/* Softmax in fixed point, as in LiteRT's reference kernel (gemmlowp's fixed-point exponential and reciprocal). */
#include "nn.h"
#include "nn_arithmetic.h"

enum { SCALED_DIFFERENCE_BITS = 26, SUM_INTEGER_BITS = 12 };

/* a * b / 2^31, rounded half up, saturated. */
static int32_t high_product(int32_t a, int32_t b) {
  if (a == INT32_MIN && b == INT32_MIN) {
    return INT32_MAX;
  }
  const int64_t product = (int64_t)a * b;
  const int64_t nudge = product >= 0 ? (int64_t)1 << 30 : 1 - ((int64_t)1 << 30);
  return (int32_t)((product + nudge) / ((int64_t)1 << 31));
}

/* value / 2^shift, rounded half away from zero. */
static int32_t divide_rounding(int32_t value, int32_t shift) {
  const int32_t mask = (int32_t)(((int64_t)1 << shift) - 1);
  const int32_t threshold = (mask >> 1) + (value < 0);
  return (value >> shift) + ((value & mask) > threshold);
}

static int32_t shift_left_saturating(int32_t value, int32_t shift) {
  const int64_t wide = (int64_t)value * ((int64_t)1 << shift);
  return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* exp of a value in [-1/4, 0), in 0.31 fixed point, by the Taylor series around -1/8. */
static int32_t exponential_near_zero(int32_t value) {
  const int32_t exp_of_minus_eighth = 1895147668;
  const int32_t third = 715827883;
  const int32_t x = value + (1 << 28);
  const int32_t x2 = high_product(x, x);
  const int32_t x3 = high_product(x2, x);
  const int32_t x4 = high_product(x2, x2);
  const int32_t rest = divide_rounding(high_product(divide_rounding(x4, 2) + x3, third) + x2, 1);
  return exp_of_minus_eighth + high_product(exp_of_minus_eighth, x + rest);
}

/* exp of a value in 5.26 fixed point that is not above 0; the result is in 0.31. */
static int32_t exponential(int32_t value) {
  static const int32_t factors[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
  const int32_t quarter = 1 << (SCALED_DIFFERENCE_BITS - 2);
  if (value == 0) {
    return INT32_MAX;
  }
  const int32_t within = (value & (quarter - 1)) - quarter;
  const int32_t remainder = within - value;
  int32_t result = exponential_near_zero(shift_left_saturating(within, 5));
  for (int32_t bit = 0; bit < (int32_t)(sizeof factors / sizeof factors[0]); bit++) {
    if (remainder & (quarter << bit)) {
      result = high_product(result, factors[bit]);
    }
  }
  return result;
}

/* 1 / (1 + x) for x in [0, 1), both in 0.31, by three Newton-Raphson steps. */
static int32_t reciprocal_of_one_plus(int32_t x) {
  const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
  int32_t guess = 1515870810 + high_product(half, -1010580540);
  for (int32_t step = 0; step < 3; step++) {
    const int32_t error = (1 << 29) - high_product(half, guess);
    guess += shift_left_saturating(high_product(guess, error), 2);
  }
  return shift_left_saturating(guess, 1);
}

static int32_t greatest(const int8_t *values, int32_t count) {
  int32_t most = values[0];
  for (int32_t at = 1; at < count; at++) {
    most = values[at] > most ? values[at] : most;
  }
  return most;
}

/* The exponential of the difference between a value and the greatest one. */
static int32_t weight_of(const nn_softmax *layer, int32_t below) {
  if (below > layer->reach) {
    return 0;
  }
  const int32_t shifted = (int32_t)((uint32_t)-below << layer->left);
  return exponential(high_product(shifted, layer->multiplier));
}

void nn_softmax_run(const nn_softmax *layer, const int8_t *in, int8_t *out) {
  const int32_t most = greatest(in, layer->count);
  int32_t sum = 0;
  for (int32_t at = 0; at < layer->count; at++) {
    sum += divide_rounding(weight_of(layer, most - in[at]), SUM_INTEGER_BITS);
  }
  const int32_t headroom = __builtin_clz((uint32_t)sum);
  const int32_t fraction = (int32_t)(((uint32_t)sum << headroom) - 0x80000000u);
  const int32_t scale = reciprocal_of_one_plus(fraction);
  const int32_t shift = SUM_INTEGER_BITS - headroom + 31 - 8;
  for (int32_t at = 0; at < layer->count; at++) {
    const int32_t share = high_product(scale, weight_of(layer, most - in[at]));
    out[at] = (int8_t)nn_saturate_signed(divide_rounding(share, shift) - 128);
  }
}
