/* The basic operations of the kernels: one instruction each on a Cortex-M4, elsewhere C with the same results.
 *
 * Pairs of 16-bit values are read as one little-endian word. Additions of accumulators wrap; the compiler checks that
 * the accumulators of the fast kernels stay within 31 bits.
 */
#ifndef NN_ARITHMETIC_H
#define NN_ARITHMETIC_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__)
static_assert((-5 >> 1) == -3, "a right shift must keep the sign and round down");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pairs need a little-endian processor");
#endif

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && !defined(NN_PORTABLE)
#define NN_DSP 1
#else
#define NN_DSP 0
#endif

#define NN_INLINE static inline __attribute__((always_inline))

/* A word that may alias an array of smaller values. Its address must be a multiple of four. */
typedef uint32_t __attribute__((may_alias)) nn_word;

NN_INLINE nn_word nn_load(const void *pair) { return *(const nn_word *)pair; }

#if NN_DSP
#define NN_MULTIPLY_ADD(name, instruction)                                       \
  NN_INLINE int32_t name(uint32_t a, uint32_t b, int32_t sum) {                  \
    int32_t out;                                                                 \
    __asm(instruction " %0, %1, %2, %3" : "=r"(out) : "r"(a), "r"(b), "r"(sum)); \
    return out;                                                                  \
  }
NN_MULTIPLY_ADD(nn_smlad, "smlad")   /* sum + a.low * b.low + a.high * b.high */
NN_MULTIPLY_ADD(nn_smlabt, "smlabt") /* sum + a.low * b.high */
NN_MULTIPLY_ADD(nn_smlatb, "smlatb") /* sum + a.high * b.low */
#undef NN_MULTIPLY_ADD

/* sum + a * b / 2^32, rounded half up. */
NN_INLINE int32_t nn_smmlar(int32_t a, int32_t b, int32_t sum) {
  int32_t out;
  __asm("smmlar %0, %1, %2, %3" : "=r"(out) : "r"(a), "r"(b), "r"(sum));
  return out;
}

/* Bytes 0 and 2 (1 and 3) of a word as signed 16-bit values. */
NN_INLINE uint32_t nn_sxtb16(uint32_t word) {
  uint32_t out;
  __asm("sxtb16 %0, %1" : "=r"(out) : "r"(word));
  return out;
}
NN_INLINE uint32_t nn_sxtb16_odd(uint32_t word) {
  uint32_t out;
  __asm("sxtb16 %0, %1, ror #8" : "=r"(out) : "r"(word));
  return out;
}

/* Adds such a pair to the pair `to`. */
NN_INLINE uint32_t nn_sxtab16(uint32_t to, uint32_t word) {
  uint32_t out;
  __asm("sxtab16 %0, %1, %2" : "=r"(out) : "r"(to), "r"(word));
  return out;
}
NN_INLINE uint32_t nn_sxtab16_odd(uint32_t to, uint32_t word) {
  uint32_t out;
  __asm("sxtab16 %0, %1, %2, ror #8" : "=r"(out) : "r"(to), "r"(word));
  return out;
}

/* The low (high) halves of two pairs: that of a in the low half, that of b in the high half. */
NN_INLINE uint32_t nn_low_halves(uint32_t a, uint32_t b) {
  uint32_t out;
  __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(out) : "r"(a), "r"(b));
  return out;
}
NN_INLINE uint32_t nn_high_halves(uint32_t a, uint32_t b) {
  uint32_t out;
  __asm("pkhtb %0, %1, %2, asr #16" : "=r"(out) : "r"(b), "r"(a));
  return out;
}

NN_INLINE int32_t nn_saturate_unsigned(int32_t value) { /* to 0..255 */
  int32_t out;
  __asm("usat %0, #8, %1" : "=r"(out) : "r"(value));
  return out;
}
NN_INLINE int32_t nn_saturate_signed(int32_t value) { /* to -128..127 */
  int32_t out;
  __asm("ssat %0, #8, %1" : "=r"(out) : "r"(value));
  return out;
}
#else
NN_INLINE int32_t nn_low(uint32_t pair) { return (int16_t)(uint16_t)pair; }
NN_INLINE int32_t nn_high(uint32_t pair) { return (int16_t)(uint16_t)(pair >> 16); }
NN_INLINE int32_t nn_wrap(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

NN_INLINE int32_t nn_smlad(uint32_t a, uint32_t b, int32_t sum) {
  return nn_wrap(nn_wrap(sum, nn_low(a) * nn_low(b)), nn_high(a) * nn_high(b));
}
NN_INLINE int32_t nn_smlabt(uint32_t a, uint32_t b, int32_t sum) { return nn_wrap(sum, nn_low(a) * nn_high(b)); }
NN_INLINE int32_t nn_smlatb(uint32_t a, uint32_t b, int32_t sum) { return nn_wrap(sum, nn_high(a) * nn_low(b)); }
NN_INLINE int32_t nn_smmlar(int32_t a, int32_t b, int32_t sum) {
  return nn_wrap(sum, (int32_t)(((int64_t)a * b + (int64_t)0x80000000) >> 32));
}
NN_INLINE uint32_t nn_sxtb16(uint32_t word) {
  return (uint32_t)(uint16_t)(int8_t)(uint8_t)word | (uint32_t)(int32_t)(int8_t)(uint8_t)(word >> 16) << 16;
}
NN_INLINE uint32_t nn_sxtb16_odd(uint32_t word) { return nn_sxtb16(word >> 8); }
NN_INLINE uint32_t nn_sxtab16(uint32_t to, uint32_t word) {
  uint32_t pair = nn_sxtb16(word);
  return (uint16_t)(to + pair) | ((to >> 16) + (pair >> 16)) << 16;
}
NN_INLINE uint32_t nn_sxtab16_odd(uint32_t to, uint32_t word) { return nn_sxtab16(to, word >> 8); }
NN_INLINE uint32_t nn_low_halves(uint32_t a, uint32_t b) { return (uint16_t)a | b << 16; }
NN_INLINE uint32_t nn_high_halves(uint32_t a, uint32_t b) { return a >> 16 | (b & 0xFFFF0000u); }
NN_INLINE int32_t nn_saturate_unsigned(int32_t value) { return value < 0 ? 0 : value > 255 ? 255 : value; }
NN_INLINE int32_t nn_saturate_signed(int32_t value) { return value < -128 ? -128 : value > 127 ? 127 : value; }
#endif

NN_INLINE int32_t nn_clamp(int32_t value, int32_t low, int32_t high) {
  return value < low ? low : value > high ? high : value;
}

/* The value added before a channel's shift: one half, plus the result's zero point. */
NN_INLINE int32_t nn_rounding(int32_t shift, int32_t zero) {
  return (int32_t)((1u << (shift - 1)) + ((uint32_t)zero << shift));
}

/* Multiplies a doubled accumulator (below 2^30 before doubling) and shifts it right by 1 to 22. The product is rounded
 * half up, the shift half away from zero. The latter is done by adding -1 if the sum is negative; if the product is 0
 * this has no effect. */
NN_INLINE int32_t nn_requantize(int32_t twice, int32_t multiplier, int32_t rounding, int32_t shift) {
  return (nn_smmlar(twice, multiplier, rounding) + (twice >> 31)) >> shift;
}

/* The same for results that are clamped to the zero point: the rounding of negative values has no effect. */
NN_INLINE int32_t nn_requantize_positive(int32_t twice, int32_t multiplier, int32_t rounding, int32_t shift) {
  return nn_smmlar(twice, multiplier, rounding) >> shift;
}

/* TFLite's MultiplyByQuantizedMultiplier, for any sum and factor. */
NN_INLINE int32_t nn_scale(int32_t sum, int32_t multiplier, int32_t shift) {
  int32_t left = shift < 0 ? (int32_t)((uint32_t)sum << -shift) : sum;
  int32_t high = (int32_t)(((int64_t)left * multiplier + (1 << 30)) >> 31);
  if (shift <= 0) {
    return high;
  }
  return (int32_t)(((int64_t)high + (high >> 31) + ((int64_t)1 << (shift - 1))) >> shift);
}

#endif
