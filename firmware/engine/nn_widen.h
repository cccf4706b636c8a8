/* Converts int8 values to 16-bit values minus the zero point. */
#ifndef NN_WIDEN_H
#define NN_WIDEN_H

#include "nn_arithmetic.h"

/* Neither buffer needs to be aligned: a Cortex-M4 supports unaligned accesses of single words. */
NN_INLINE void nn_widen(const int8_t *in, int16_t *out, int32_t count, int32_t zero) {
  const uint32_t minus_zero = (uint32_t)(uint16_t)-zero * 0x10001u;
  for (; count >= 4; count -= 4, in += 4, out += 4) {
    uint32_t word;
    memcpy(&word, in, sizeof word);
    uint32_t even = nn_sxtab16(minus_zero, word);
    uint32_t odd = nn_sxtab16_odd(minus_zero, word);
    uint32_t low = nn_low_halves(even, odd);
    uint32_t high = nn_high_halves(even, odd);
    memcpy(out, &low, sizeof low);
    memcpy(out + 2, &high, sizeof high);
  }
  for (; count > 0; count--) {
    *out++ = (int16_t)(*in++ - zero);
  }
}

#endif
