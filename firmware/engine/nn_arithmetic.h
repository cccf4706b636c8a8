/* The few operations all kernels are made of: on a Cortex-M4 one instruction each, elsewhere C with the same bits.
 *
 * Pairs of 16-bit values are read as one little-endian word. Additions of accumulators wrap: the generator proves that
 * none of a fast kernel's leaves 31 bits.
 */
#ifndef NN_ARITHMETIC_H
#define NN_ARITHMETIC_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__)
static_assert((-5 >> 1) == -3, "a shift to the right keeps the sign and rounds down");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pairs are packed for a little-endian processor");
#endif

#if defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && !defined(NN_PORTABLE)
#define NN_DSP 1
#else
#define NN_DSP 0
#endif

#define NN_INLINE static inline __attribute__((always_inline))

/* A word that may be read from an array of smaller values; the address must be a multiple of four. */
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

/* The same, added to the pair `to`. */
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

/* The low halves (the high halves) of two pairs, a's below b's. */
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

/* What is added before a channel's shift: a half, and the result's zero point where it is wanted at once. */
NN_INLINE int32_t nn_rounding(int32_t shift, int32_t zero) {
  return (int32_t)((1u << (shift - 1)) + ((uint32_t)zero << shift));
}

/* Twice an accumulator below 2^30, multiplied and shifted right by 1 to 22, each rounded: the first half up, the second
 * half away from zero. Subtracting the sum's sign does that: where the product is 0 it changes nothing. */
NN_INLINE int32_t nn_requantize(int32_t twice, int32_t multiplier, int32_t rounding, int32_t shift) {
  return (nn_smmlar(twice, multiplier, rounding) + (twice >> 31)) >> shift;
}

/* The same where everything below the zero point is clamped to it, so that how a negative rounds is not seen. */
NN_INLINE int32_t nn_requantize_positive(int32_t twice, int32_t multiplier, int32_t rounding, int32_t shift) {
  return nn_smmlar(twice, multiplier, rounding) >> shift;
}

/* Any sum, any factor: the same bits as TFLite's MultiplyByQuantizedMultiplier. */
NN_INLINE int32_t nn_scale(int32_t sum, int32_t multiplier, int32_t shift) {
  int32_t left = shift < 0 ? (int32_t)((uint32_t)sum << -shift) : sum;
  int32_t high = (int32_t)(((int64_t)left * multiplier + (1 << 30)) >> 31);
  if (shift <= 0) {
    return high;
  }
  return (int32_t)(((int64_t)high + (high >> 31) + ((int64_t)1 << (shift - 1))) >> shift);
}

#endif
